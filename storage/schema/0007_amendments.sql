-- What venues said of trades later, and what was made of it: each correction and cancel once, written
-- in the transaction of the bars that it revised. The payload says all; the rest is to find it by.
CREATE TABLE amendments (
    symbol   text COLLATE "C" NOT NULL,
    trade_id bigint NOT NULL,
    event_ns bigint NOT NULL,
    payload  bytea  NOT NULL,
    PRIMARY KEY (symbol, trade_id, payload)
);

-- They go by age, as the ticks do that they are about.
CREATE INDEX amendments_time ON amendments (event_ns);
