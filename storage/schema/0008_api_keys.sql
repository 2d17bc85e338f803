-- Keys of those who call the gateway. Of a secret there is the SHA-256 only: it is random, 256 bits
-- long, and needs no slow hash. A key is revoked, never deleted, so that its id does not come again.
CREATE TABLE api_keys (
    key_id              text COLLATE "C" PRIMARY KEY,
    secret_sha256       bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    name                text        NOT NULL,
    symbols             text[]      NOT NULL,
    channels            text[],                 -- null: all
    requests_per_minute integer     CHECK (requests_per_minute >= 0),  -- null: the setting; 0: no limit
    connections         integer     CHECK (connections >= 1),          -- null: the setting
    created_at          timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz,
    revoked_at          timestamptz
);

-- Grows with each change of the keys, in the order of the commits: gateways look at it each second.
CREATE TABLE api_keys_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO api_keys_version (version) VALUES (0);

CREATE FUNCTION note_api_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys_version SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER api_keys_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION note_api_keys();
