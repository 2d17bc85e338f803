-- Requests to fold bars again from the log of ticks, and their answers. Who asks deletes them; who
-- owns the shard answers. One that nobody fetched goes once a day.
CREATE TABLE rebuilds (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard    integer     NOT NULL,
    symbol   text        NOT NULL,
    start_ns bigint      NOT NULL,
    end_ns   bigint      NOT NULL,
    dry_run  boolean     NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT now(),
    report   bytea
);
