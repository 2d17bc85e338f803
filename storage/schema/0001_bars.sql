-- Bars of every timeframe. Unrounded sums and the order keys of open and close make a revision
-- possible after a restart; the parts are packed little-endian float64, read back as they were.
CREATE TABLE bars (
    symbol         text             COLLATE "C" NOT NULL,
    timeframe      text             COLLATE "C" NOT NULL,
    time           timestamptz      NOT NULL,
    open           double precision NOT NULL,
    high           double precision NOT NULL,
    low            double precision NOT NULL,
    close          double precision NOT NULL,
    volume         double precision NOT NULL,
    vwap           double precision NOT NULL,
    trades         bigint           NOT NULL,
    rev            integer          NOT NULL,
    gap            boolean          NOT NULL,
    open_ns        bigint           NOT NULL,
    open_seq       bigint           NOT NULL,
    close_ns       bigint           NOT NULL,
    close_seq      bigint           NOT NULL,
    volume_parts   bytea            NOT NULL,
    notional_parts bytea            NOT NULL
);

CREATE UNIQUE INDEX bars_symbol_timeframe_time ON bars (symbol, timeframe, time DESC);

-- Symbols that were ever traded, with their last trade (absent while only bars are known).
CREATE TABLE symbols (
    symbol   text COLLATE "C" PRIMARY KEY,
    event_ns bigint,
    seq      bigint,
    trade_id bigint,
    price    double precision,
    size     double precision,
    side     smallint
);

-- Where each shard of the aggregator goes on; written with the bars, in one transaction.
CREATE TABLE shard_checkpoints (
    shard  integer PRIMARY KEY,
    token  bigint  NOT NULL,
    flush  bigint  NOT NULL,
    state  bytea   NOT NULL,
    outbox bytea   NOT NULL
);
