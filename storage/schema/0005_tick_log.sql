-- The ticks that were folded into bars, each once: of a flush, a shard and five minutes of event
-- time one row, written in the transaction of the bars. Payloads are compressed before they come.
CREATE TABLE tick_log (
    time    timestamptz NOT NULL,  -- where the five minutes begin
    token   bigint      NOT NULL,
    flush   bigint      NOT NULL,
    from_ns bigint      NOT NULL,  -- event times of its ticks: first and last
    to_ns   bigint      NOT NULL,
    shard   integer     NOT NULL,
    ticks   integer     NOT NULL,
    payload bytea       NOT NULL
);
ALTER TABLE tick_log ALTER COLUMN payload SET STORAGE EXTERNAL;

-- A flush that is repeated finds its rows; a reader finds those of a time in order of arrival.
CREATE UNIQUE INDEX tick_log_shard_time ON tick_log (shard, time, token, flush);

-- From which event time on a shard's log holds every tick that was folded.
CREATE TABLE tick_log_cover (
    shard   integer PRIMARY KEY,
    from_ns bigint NOT NULL
);
