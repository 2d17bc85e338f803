"""ShardLeases: which aggregator owns which shards, in PostgreSQL, by the database's clock alone.

A lease says who should write a shard; that nobody else can is decided by its token, which each
flush checks in its own transaction (:func:`check_leases`). No statement needs a session, and none
waits for another's lock, save a flush for a change of owner that is being committed.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, LiteralString, Protocol

import psycopg

from storage.database import Connection
from storage.errors import StaleOwner
from storage.rows import LeaseRow, LeaseView

_LOG = logging.getLogger(__name__)

TTL_S: Final = 2.5  # without a renewal a lease runs out
STATEMENT_S: Final = 1.0  # a statement that takes longer is given up, and made again
_SESSION_BYTES: Final = 63  # longer names are cut by the server

_BEAT: Final = """
WITH heard AS (
    INSERT INTO aggregators (owner, expires_at)
    VALUES (%s, clock_timestamp() + make_interval(secs => %s))
    ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at
), forgotten AS (
    DELETE FROM aggregators WHERE owner IN (
        SELECT owner FROM aggregators WHERE expires_at < clock_timestamp() - interval '1 hour'
        FOR UPDATE SKIP LOCKED)
), renewed AS (
    UPDATE shard_leases AS l SET expires_at = clock_timestamp() + make_interval(secs => %s)
    FROM unnest(%s::int[], %s::bigint[]) AS mine (shard, token)
    WHERE l.shard = mine.shard AND l.token = mine.token
    RETURNING l.shard
)
SELECT 'renewed', shard, '', false FROM renewed
UNION ALL SELECT 'lease', shard, owner, expires_at <= clock_timestamp() FROM shard_leases
UNION ALL SELECT 'member', 0, owner, false FROM aggregators WHERE expires_at > clock_timestamp()
"""
# No token is below that of the checkpoint: rows may be new while the shard is not.
_CREATE: Final = """
INSERT INTO shard_leases (shard, token, owner, expires_at)
SELECT all_shards.shard, coalesce(stored.token, 0), '', clock_timestamp()
FROM generate_series(0, %s - 1) AS all_shards (shard)
LEFT JOIN shard_checkpoints AS stored USING (shard)
ON CONFLICT DO NOTHING
"""
# A row that is locked is left: a flush of its owner is being written, or another takes it.
_ACQUIRE: Final = """
WITH free AS (
    SELECT shard, bound.above FROM shard_leases
    LEFT JOIN unnest(%s::int[], %s::bigint[]) AS bound (shard, above) USING (shard)
    WHERE shard = ANY(%s::int[])
        AND (owner IN ('', %s) OR owner = ANY(%s::text[]) OR expires_at <= clock_timestamp())
    ORDER BY shard LIMIT %s
    FOR UPDATE OF shard_leases SKIP LOCKED
)
UPDATE shard_leases AS l
SET owner = %s, token = greatest(l.token, free.above) + 1,
    expires_at = clock_timestamp() + make_interval(secs => %s)
FROM free WHERE l.shard = free.shard
RETURNING l.shard, l.token
"""
_RELEASE: Final = """
UPDATE shard_leases AS l SET owner = '', expires_at = clock_timestamp()
FROM unnest(%s::int[], %s::bigint[]) AS mine (shard, token)
WHERE l.shard = mine.shard AND l.token = mine.token
"""
_LEAVE: Final = "DELETE FROM aggregators WHERE owner = %s"
_END_SESSIONS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ANY(%s::text[])
    AND pid IN (SELECT pid FROM pg_locks
        WHERE relation = 'shard_leases'::regclass AND mode = 'RowShareLock' AND granted)
"""
_CHECK: Final = """
SELECT shard, token FROM shard_leases WHERE shard = ANY(%s::int[]) ORDER BY shard FOR KEY SHARE
"""


class Fetches(Protocol):
    """A database, as far as leases need one."""

    async def fetch(
        self, name: LiteralString, sql: LiteralString, parameters: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement on its own and read its rows."""
        ...

    async def close(self) -> None:
        """Drop what is open; the next statement opens it again."""
        ...


class ShardLeases:
    """One aggregator's claims on shards. A lease that ran out is still its owner's until taken."""

    def __init__(self, db: Fetches, *, owner: str, shards: int) -> None:
        """*db* is used by nobody else; *owner* names this process, see ``storage.lease``."""
        self.owner = owner
        self._db, self._shards = db, shards
        self._looked = False

    async def beat(self, held: Mapping[int, int]) -> LeaseView:
        """Say that this aggregator lives, renew what it holds (token by shard), and look around.

        Raises:
            DatabaseUnavailable: it is away, or too slow; perhaps it was renewed.
            SchemaError: the tables are missing.
        """
        shards, tokens = list(held), list(held.values())
        rows = await self._db.fetch(
            "renew shard leases", _BEAT, [self.owner, TTL_S, TTL_S, shards, tokens]
        )
        leases = [LeaseRow(row[1], row[2], row[3]) for row in rows if row[0] == "lease"]
        if not self._looked:
            self._compare({lease.shard for lease in leases})
        return LeaseView(
            renewed=frozenset(row[1] for row in rows if row[0] == "renewed"),
            leases=tuple(lease for lease in leases if lease.shard < self._shards),
            members=frozenset(row[2] for row in rows if row[0] == "member"),
        )

    def _compare(self, known: Collection[int]) -> None:
        """Say once, aloud, that the database is from another number of shards."""
        self._looked = True
        before = max(known, default=self._shards - 1) + 1
        if before != self._shards:
            _LOG.error(
                "this database was written with %d shards, and `shards` is %d now: ticks logged "
                "before are not found any more where late trades, amendments and rebuilds look; "
                "set `shards` to %d again, or empty the log (TRUNCATE tick_log, tick_log_cover)",
                before, self._shards, before,
            )  # fmt: skip

    async def create(self) -> None:
        """Make the rows that are missing: leases that nobody has.

        Raises:
            DatabaseUnavailable: as :meth:`beat`.
        """
        await self._db.fetch("create shard leases", _CREATE, [self._shards])

    async def acquire(
        self,
        shards: Collection[int],
        *,
        at_most: int,
        gone: Collection[str] = (),
        above: Mapping[int, int] = {},
    ) -> dict[int, int]:
        """Take those of *shards* that nobody has, or whose lease ran out; tokens by shard.

        Args:
            shards: none that this aggregator holds.
            at_most: so many.
            gone: owners whose processes are known to have ended: their leases are free at once.
            above: by shard, a token that the new one must exceed; it exceeds that in the row.

        Raises:
            DatabaseUnavailable: as :meth:`beat`; what was taken in vain is taken again later.
        """
        bounds = [list(above), list(above.values())]
        parameters = [*bounds, list(shards), self.owner, list(gone), at_most, self.owner, TTL_S]
        rows = await self._db.fetch("acquire shards", _ACQUIRE, parameters)
        return {int(shard): int(token) for shard, token in rows}

    async def release(self, held: Mapping[int, int]) -> None:
        """Give up what is *held* (token by shard), so that others may have it at once.

        Raises:
            DatabaseUnavailable: as :meth:`beat`; the leases run out by themselves.
        """
        await self._db.fetch("release shards", _RELEASE, [list(held), list(held.values())])

    async def close(self) -> None:
        """Drop the connection."""
        await self._db.close()

    async def leave(self) -> None:
        """This aggregator ends: it counts no more.

        Raises:
            DatabaseUnavailable: as :meth:`beat`; it counts until its announcement runs out.
        """
        await self._db.fetch("leave the aggregators", _LEAVE, [self.owner])

    async def end_sessions(self, owners: Collection[str]) -> int:
        """End the flushes of *owners* that hold leases which ran out; returns how many.

        A process that was paused, or cut off, in the middle of a flush would keep its shards
        locked for as long as the server waits for it.

        Raises:
            DatabaseUnavailable: as :meth:`beat`.
        """
        names = [session_name(owner) for owner in owners]
        try:
            rows = await self._db.fetch("end sessions", _END_SESSIONS, [names])
        except psycopg.errors.InsufficientPrivilege as exc:  # of another database user
            _LOG.warning("a flush of %s cannot be ended: %s", ", ".join(owners), exc)
            return 0
        return len(rows)


async def check_leases(connection: Connection, tokens: Mapping[int, int]) -> None:
    """Make sure that *tokens* (by shard) are the newest, and stay so until the transaction ends.

    Raises:
        StaleOwner: others have some of the shards.
    """
    cursor = await connection.execute(_CHECK, [list(tokens)])
    newest = dict(await cursor.fetchall())
    stale = {
        shard: (token, newest.get(shard, 0))
        for shard, token in tokens.items()
        if newest.get(shard) != token
    }
    if stale:
        raise StaleOwner(stale)


def session_name(owner: str) -> str:
    """What *owner* calls its connections (``application_name``), so that others find them."""
    digest = hashlib.blake2s(owner.encode(), digest_size=4).hexdigest()
    return f"tickgate {digest} {owner}"[:_SESSION_BYTES]
