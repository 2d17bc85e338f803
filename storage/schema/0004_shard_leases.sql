-- Which aggregator owns a shard: by a lease that the database's clock judges. A flush locks the rows
-- it relies on with FOR KEY SHARE. As (shard, token) is a key, too, that keeps another owner, who
-- changes the token, out until the flush is through, while a renewal passes by.
CREATE TABLE shard_leases (
    shard      integer PRIMARY KEY,
    token      bigint      NOT NULL,
    owner      text        NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (shard, token)
);

-- The aggregators that run, so that each knows how many shards are its share.
CREATE TABLE aggregators (
    owner      text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
