-- A table per timeframe: each with chunks of a length that suits it, and 1-minute bars can go
-- while the others stay. Columns of 8 bytes come first, so that no row has holes. Autovacuum comes
-- by often: a page that it has seen is not read when the index alone answers.
ALTER TABLE bars RENAME TO bars_unsplit;

CREATE TABLE bars_1min (
    time           timestamptz      NOT NULL,
    open           double precision NOT NULL,
    high           double precision NOT NULL,
    low            double precision NOT NULL,
    close          double precision NOT NULL,
    volume         double precision NOT NULL,
    vwap           double precision NOT NULL,
    trades         bigint           NOT NULL,
    open_ns        bigint           NOT NULL,
    open_seq       bigint           NOT NULL,
    close_ns       bigint           NOT NULL,
    close_seq      bigint           NOT NULL,
    rev            integer          NOT NULL,
    gap            boolean          NOT NULL,
    symbol         text             COLLATE "C" NOT NULL,
    volume_parts   bytea            NOT NULL,
    notional_parts bytea            NOT NULL
) WITH (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 10000);

CREATE TABLE bars_5min (LIKE bars_1min)
WITH (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 10000);

CREATE TABLE bars_15min (LIKE bars_1min)
WITH (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 10000);

-- All that a reader of bars asks for is in the index: 500 bars of a symbol are on ten of its pages,
-- while their rows, written minute by minute with those of all symbols, are on 500 pages.
CREATE UNIQUE INDEX bars_1min_symbol_time ON bars_1min (symbol, time)
    INCLUDE (open, high, low, close, volume, vwap, trades, rev, gap);
CREATE UNIQUE INDEX bars_5min_symbol_time ON bars_5min (symbol, time)
    INCLUDE (open, high, low, close, volume, vwap, trades, rev, gap);
CREATE UNIQUE INDEX bars_15min_symbol_time ON bars_15min (symbol, time)
    INCLUDE (open, high, low, close, volume, vwap, trades, rev, gap);

-- Work that one of many processes does now and then: who has it, and when it was done last.
CREATE TABLE chores (
    chore      text PRIMARY KEY,
    token      bigint      NOT NULL,
    held_until timestamptz NOT NULL,
    done_at    timestamptz
);
