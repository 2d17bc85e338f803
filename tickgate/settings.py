"""All settings of the program, declared once: flags, variables, help and docs come from here."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.runtime import config
from core.runtime.config import Setting
from core.runtime.logs import LogFormat, LogLevel

PREFIX = "TICKGATE"
MIB = 1 << 20
GIB = 1 << 30
DAY_S = 86_400
MOST_DAYS = 100_000  # back from today or 1990 still a time in nanoseconds of 64 bits

DEV, INGEST, AGGREGATE, GATEWAY = "dev", "ingest", "aggregate", "gateway"
MIGRATE, CHECK, WATCH, CONFIG = "migrate", "check", "watch", "config"
REBUILD, BACKFILL, KEYS = "rebuild", "backfill", "keys"
EXPORT, IMPORT = "export", "import"

ROLES = (DEV, INGEST, AGGREGATE, GATEWAY)
_REDIS = {
    "commands": (*ROLES, BACKFILL, IMPORT, CHECK),
    "secret": "url",
    "accepted": "a redis://, unix://, redis+sentinel:// or redis+cluster:// URL (rediss… by TLS)",
}
_DATABASE = {
    "commands": (DEV, AGGREGATE, GATEWAY, MIGRATE, CHECK, REBUILD, KEYS, EXPORT, IMPORT),
    "secret": "url",
    "accepted": "a postgresql:// URL or a libpq connection string",
}
_BUS = {"commands": (*ROLES, BACKFILL, IMPORT, CHECK)}
_POOL = {"commands": (DEV, AGGREGATE, GATEWAY)}
_SECRET = {"commands": (DEV, GATEWAY), "secret": "all"}
_FEEDS = {"commands": (DEV, INGEST)}
_STREAMS = {"commands": (DEV, INGEST, BACKFILL, IMPORT)}
_IDS = {"commands": (DEV, INGEST, AGGREGATE, IMPORT)}  # import takes bars that no tick can reach
_BARS = {"commands": (DEV, AGGREGATE)}
_WIRE = {"commands": (DEV, GATEWAY)}
_RESTARTS = {"commands": (DEV, GATEWAY)}
_TLS = {"commands": (GATEWAY,)}
_OPS = {"commands": (DEV, INGEST, AGGREGATE)}
_KEYS = {
    "commands": (DEV, GATEWAY),
    "secret": "all",
    "accepted": "KEYID:SHA256HEX items, comma-separated",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting; units are in the names, bounds and meaning in the annotations."""

    feed: Annotated[
        tuple[str, ...],
        Meta(
            description="a feed to read, VENUE:SYMBOLS[?option=value&…]; repeat the flag for more; "
            "without any, dev runs the simulation (aggregate: only with exit_at_end)",
            extra={
                "commands": (DEV, INGEST, AGGREGATE, BACKFILL),
                "secret": "url",
                "accepted": "feed specs",
            },
        ),
    ] = ()
    exit_at_end: Annotated[
        bool,
        Meta(
            description="end with exit code 0 once every feed has ended and every bar is in the "
            "database; only with feeds that have an end",
            extra={"commands": (DEV, INGEST, AGGREGATE)},
        ),
    ] = False

    redis_url: Annotated[
        str,
        Meta(description="the Redis or Valkey server; dev brings its own when empty", extra=_REDIS),
    ] = ""
    database_url: Annotated[
        str,
        Meta(description="the PostgreSQL database; dev brings its own when empty", extra=_DATABASE),
    ] = ""
    namespace: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.-]{1,64}$",
            description="first part of every Redis key; installations on one server differ in it",
            extra={**_BUS, "accepted": "1 to 64 letters, digits, '_', '.' or '-'"},
        ),
    ] = "tickgate"
    shards: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="parts that the symbols are spread over; the same in every role",
            extra={"commands": (*ROLES, CHECK, REBUILD, BACKFILL, EXPORT, IMPORT)},
        ),
    ] = 16

    host: Annotated[
        str,
        Meta(
            description="address the gateway listens on; on any other than loopback callers must "
            "show a key or a token",
            extra={"commands": (DEV, GATEWAY, CHECK), "accepted": "an IP address or localhost"},
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="port of the page, HTTP and WebSocket; 0 picks a free one",
            extra={"commands": (DEV, GATEWAY, CHECK)},
        ),
    ] = 8080
    workers: Annotated[
        int, Meta(ge=1, le=64, description="gateway processes on the port", extra=_WIRE)
    ] = 1
    api_keys: Annotated[
        str,
        Meta(
            description="keys of clients, KEYID:SHA256HEX[,…], beside those of `tickgate keys`; "
            "each may read everything",
            extra=_KEYS,
        ),
    ] = ""
    require_auth: Annotated[
        bool,
        Meta(
            description="callers must show a key or a token, also while none is known; needed for "
            "a host other than loopback when the only keys are those of `tickgate keys`",
            extra=_WIRE,
        ),
    ] = False
    jwt_shared_key: Annotated[
        str,
        Meta(
            description="the key of tokens that are signed by HS256, 32 bytes at least (HS384: 48, "
            "HS512: 64)",
            extra={**_SECRET, "accepted": "text of 32 bytes or more"},
        ),
    ] = ""
    jwt_jwks: Annotated[
        str,
        Meta(
            description="keys of tokens that are signed by RS or ES, with 256, 384 or 512 (in a "
            "file: by HS too): the URL or file of a JSON Web Key Set, fetched every 5 minutes",
            extra={**_WIRE, "secret": "url", "accepted": "an https:// URL or a file"},
        ),
    ] = ""
    jwt_issuer: Annotated[
        str, Meta(description="what the claim iss of a token must be; empty: any", extra=_WIRE)
    ] = ""
    jwt_audience: Annotated[
        str,
        Meta(
            description="what the claim aud of a token must be, or hold; empty: it must have none",
            extra=_WIRE,
        ),
    ] = ""
    jwt_leeway_s: Annotated[
        int,
        Meta(
            ge=0,
            le=600,
            description="by how much the clock of who makes tokens may differ",
            extra=_WIRE,
        ),
    ] = 30
    ops_host: Annotated[
        str,
        Meta(
            description="address of /livez, /readyz and /metrics of ingest and aggregate",
            extra={**_OPS, "accepted": "an IP address or localhost"},
        ),
    ] = "127.0.0.1"
    ops_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65535,
            description="port of the same; 0 picks a free one (dev always does)",
            extra=_OPS,
        ),
    ] = 0

    data_dir: Annotated[
        str,
        Meta(
            description="directory of the embedded servers' data; empty: $XDG_DATA_HOME/tickgate, "
            "or ~/.local/share/tickgate",
            extra={
                "commands": (DEV, CHECK, KEYS, REBUILD, EXPORT, IMPORT),
                "accepted": "a writable directory",
            },
        ),
    ] = ""
    disk_max_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="disk for the embedded servers; the oldest data goes first; 0: no cap",
            extra={"commands": (DEV,)},
        ),
    ] = 2 * GIB

    grace_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=3_600_000,
            description="how long after its end a bar waits for stragglers",
            extra=_FEEDS,
        ),
    ] = 2_000
    max_future_ms: Annotated[
        int,
        Meta(
            ge=0,
            description="a tick further ahead of feed time is quarantined",
            extra=_IDS,
        ),
    ] = 5_000
    max_lateness_s: Annotated[
        int,
        Meta(
            ge=0,
            description="an older tick no longer revises its bar; it is quarantined",
            extra=_FEEDS,
        ),
    ] = 86_400
    dedup_horizon_s: Annotated[
        int,
        Meta(
            ge=1,
            description="feed time over which trade ids are remembered",
            extra=_IDS,
        ),
    ] = 3_600
    gap_settle_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=60_000,
            description="a trade that others of its symbol overtook is waited for so long, then "
            "there is a gap",
            extra=_FEEDS,
        ),
    ] = 1_000
    gap_fill_s: Annotated[
        float,
        Meta(
            gt=0,
            le=86_400,
            description="a gap that the venue's trade history did not fill within this time is "
            "lost; backfill waits so long for a page",
            extra={"commands": (DEV, INGEST, BACKFILL)},
        ),
    ] = 600.0
    block_ticks: Annotated[
        int, Meta(ge=1, le=1_000, description="ticks of a full block", extra=_FEEDS)
    ] = 1_000
    block_ms: Annotated[
        int,
        Meta(
            ge=0, le=1_000, description="age at which a block goes out, full or not", extra=_FEEDS
        ),
    ] = 5
    silence_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3_600,
            description="a venue's connection without any message for so long is given up; the "
            "venue is probed half-way",
            extra=_FEEDS,
        ),
    ] = 30.0
    reconnect_first_s: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="longest wait before the first attempt to connect to a venue again; "
            "doubles with each",
            extra=_FEEDS,
        ),
    ] = 1.0
    reconnect_cap_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3_600,
            description="longest wait between attempts to connect to a venue",
            extra=_FEEDS,
        ),
    ] = 60.0
    stream_retention_s: Annotated[
        int, Meta(ge=1, description="how long ticks stay in the streams", extra=_STREAMS)
    ] = 1_800
    stream_max_bytes: Annotated[
        int,
        Meta(
            ge=16 * MIB,
            description="memory of all tick streams together; the oldest ticks go first",
            extra=_STREAMS,
        ),
    ] = GIB
    replay_ring_bytes: Annotated[
        int,
        Meta(
            ge=MIB,
            description="memory, per feed, for the blocks that Redis may lose when it fails over",
            extra=_FEEDS,
        ),
    ] = 32 * MIB
    replay_ring_s: Annotated[
        float,
        Meta(gt=0, le=DAY_S, description="and how long they are kept, in seconds", extra=_FEEDS),
    ] = 30.0
    minute_bars_days: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_DAYS,
            description="days of 1-minute bars kept, back from a symbol's newest; 0: all; old ones "
            "go once a day, of a hypertable by chunks of 7 days",
            extra=_BARS,
        ),
    ] = 400
    bars_max_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="size of the stored bars; the oldest go first; 0: no bound",
            extra=_BARS,
        ),
    ] = 0

    tick_log_days: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_DAYS,
            description="days of folded ticks kept, back from the newest, to rebuild bars from and "
            "to know trades that come hours late; 0: none are kept",
            extra=_BARS,
        ),
    ] = 7
    tick_log_max_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="size of the kept ticks; the oldest go first; 0: no bound",
            extra=_BARS,
        ),
    ] = 0

    batch_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=5_000,
            description="batch window of a client that asks for no other",
            extra=_WIRE,
        ),
    ] = 100
    max_message_bytes: Annotated[
        int, Meta(ge=1024, description="a larger batch goes out as several messages", extra=_WIRE)
    ] = 16_384
    compression: Annotated[
        bool,
        Meta(
            description="agree to compress the messages of clients that offer it "
            "(permessage-deflate): a fifth of the bytes, for 60 us per 16 KiB message",
            extra=_WIRE,
        ),
    ] = False
    io_uring: Annotated[
        bool,
        Meta(
            description="send to many clients by one system call where the kernel (Linux 5.18 and "
            "later) offers io_uring and allows it; else one by one",
            extra=_WIRE,
        ),
    ] = True
    slow_client_age_s: Annotated[
        float,
        Meta(
            gt=0,
            le=DAY_S,
            description="age of the oldest unsent batch at which a client is dropped",
            extra=_WIRE,
        ),
    ] = 5.0
    slow_client_bytes: Annotated[
        int, Meta(ge=1024, description="unsent bytes at which a client is dropped", extra=_WIRE)
    ] = MIB
    auth_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=DAY_S,
            description="time a client has to authenticate, when keys are configured",
            extra=_WIRE,
        ),
    ] = 10.0
    heartbeat_s: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="time between two heartbeats of a session, which tell the newest event "
            "time of each feed; 0: none; watch misses them after 2.5 times as long",
            extra={"commands": (DEV, GATEWAY, WATCH)},
        ),
    ] = 15.0
    stale_after_s: Annotated[
        float,
        Meta(
            gt=0,
            le=30 * DAY_S,
            description="time without a tick after which a feed is called stale",
            extra=_WIRE,
        ),
    ] = 30.0
    max_inbound_bytes: Annotated[
        int, Meta(ge=1024, description="largest message a client may send", extra=_WIRE)
    ] = MIB
    messages_per_s: Annotated[
        int, Meta(ge=1, description="messages a client may send", extra=_WIRE)
    ] = 20
    max_symbols: Annotated[
        int, Meta(ge=1, description="symbols one connection may subscribe to by name", extra=_WIRE)
    ] = 1_000
    max_connections_per_ip: Annotated[
        int, Meta(ge=1, description="connections per client address; off without keys", extra=_WIRE)
    ] = 10
    max_connections_per_key: Annotated[
        int, Meta(ge=1, description="connections that one API key may have", extra=_WIRE)
    ] = 5
    handshakes_per_s: Annotated[
        int,
        Meta(
            ge=0,
            description="WebSocket handshakes per client address; 0: no limit; off without keys",
            extra=_WIRE,
        ),
    ] = 50
    allowed_origins: Annotated[
        tuple[str, ...],
        Meta(
            description="web pages that may open the stream and read the API, besides the "
            "gateway's own, as "
            "https://HOST[:PORT], comma-separated; * for all",
            extra={**_WIRE, "accepted": "origins such as https://desk.example.com, or *"},
        ),
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="networks of the proxies before the gateway, comma-separated: what they "
            "say of a client's address is believed",
            extra={**_WIRE, "accepted": "addresses or CIDRs such as 10.0.0.0/8"},
        ),
    ] = ()
    proxy_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        Meta(description="the header in which they say it; the other one is ignored", extra=_WIRE),
    ] = "x-forwarded-for"
    tls_certificate: Annotated[
        str,
        Meta(
            description="PEM file of the certificate and its chain: the gateway speaks TLS; read "
            "again when it changes",
            extra={**_TLS, "accepted": "a file"},
        ),
    ] = ""
    tls_key: Annotated[
        str,
        Meta(
            description="PEM file of its private key; empty: it is in the file of the certificate",
            extra={**_TLS, "accepted": "a file"},
        ),
    ] = ""
    tls_min_version: Annotated[
        Literal["1.2", "1.3"], Meta(description="the oldest TLS that is spoken", extra=_TLS)
    ] = "1.2"
    http_timeout_s: Annotated[
        float,
        Meta(gt=0, le=DAY_S, description="time an HTTP request may take in all", extra=_WIRE),
    ] = 30.0
    http_requests_per_min: Annotated[
        int,
        Meta(
            ge=0,
            description="HTTP requests of a key that has no number of its own, of a token's "
            "subject, and of an address that shows neither; 0: no limit; off without keys",
            extra=_WIRE,
        ),
    ] = 100
    auth_failures_per_min: Annotated[
        int,
        Meta(
            ge=0,
            description="wrong keys and tokens from one address, then nothing new from it is "
            "looked at in that minute; 0: no limit; off without keys",
            extra=_WIRE,
        ),
    ] = 30
    http_cache_bytes: Annotated[
        int,
        Meta(ge=0, description="ready answers kept in memory, per process; 0: none", extra=_WIRE),
    ] = 64 << 20
    http_cache_redis_bytes: Annotated[
        int,
        Meta(
            ge=0,
            description="answers that a process stores in Redis for the others within ten minutes, "
            "after which they expire; 0: none",
            extra=_WIRE,
        ),
    ] = 32 << 20

    db_pool_min: Annotated[
        int, Meta(ge=1, le=1000, description="database connections kept open", extra=_POOL)
    ] = 2
    db_pool_max: Annotated[
        int, Meta(ge=1, le=1000, description="database connections at most", extra=_POOL)
    ] = 10
    db_acquire_timeout_s: Annotated[
        float,
        Meta(gt=0, le=DAY_S, description="time to wait for a connection of the pool", extra=_POOL),
    ] = 5.0
    db_statement_timeout_s: Annotated[
        float, Meta(gt=0, le=DAY_S, description="time a statement may take", extra=_POOL)
    ] = 30.0
    slow_query_ms: Annotated[
        float,
        Meta(
            gt=0,
            le=DAY_S * 1_000,
            description="a statement or transaction that takes longer is logged: name, time, rows",
            extra=_POOL,
        ),
    ] = 200.0

    restart_first_s: Annotated[
        float,
        Meta(
            gt=0,
            le=60,
            description="wait before a role that crashed is started again; doubles with each "
            "crash in a row; half of it is left to chance",
            extra=_RESTARTS,
        ),
    ] = 1.0
    restart_cap_s: Annotated[
        float,
        Meta(gt=0, le=3_600, description="and the longest such wait", extra=_RESTARTS),
    ] = 300.0
    restart_stable_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3_600,
            description="a role that ran so long is healthy: former crashes no longer count",
            extra=_RESTARTS,
        ),
    ] = 60.0
    crash_loop_after: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="crashes in a row that are called a crash loop: in the log, in /readyz and "
            "the metric tickgate_crash_loop",
            extra=_RESTARTS,
        ),
    ] = 3
    drain_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="time each part has to stop in order",
            extra={"commands": ROLES},
        ),
    ] = 10.0
    drain_spread_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3_600,
            description="time over which a gateway that stops closes its clients; at most half of "
            "drain_s",
            extra=_WIRE,
        ),
    ] = 5.0
    drain_clients_per_s: Annotated[
        float,
        Meta(
            ge=1,
            le=1_000_000,
            description="clients that it closes a second, unless that took longer than "
            "drain_spread_s",
            extra=_WIRE,
        ),
    ] = 1_000.0
    log_level: Annotated[LogLevel, Meta(description="least important records that are logged")] = (
        "info"
    )
    log_format: Annotated[LogFormat, Meta(description="lines for people, or JSON for machines")] = (
        "text"
    )
    url: Annotated[
        str,
        Meta(
            description="gateway to watch",
            extra={"commands": (WATCH,), "secret": "url", "accepted": "an http:// or https:// URL"},
        ),
    ] = "http://127.0.0.1:8080"
    api_key: Annotated[
        str,
        Meta(
            description="key to present to that gateway, as KEYID:SECRET",
            extra={"commands": (WATCH,), "secret": "all", "accepted": "KEYID:SECRET"},
        ),
    ] = ""


SETTINGS: tuple[Setting, ...] = config.settings_of(Settings, prefix=PREFIX)
