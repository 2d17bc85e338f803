"""ApiKeyStore: the keys of the gateway's callers. Secrets are known by their SHA-256 only."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from core.market.errors import TickgateError
from storage.database import Database
from storage.stored_key import StoredKey

MAX_KEYS: Final = 100_000  # in force at a time; a gateway holds all of them, some 500 bytes each

_PAGE: Final = 500  # keys that are read at a time: some 5 ms of a processor

_VERSION: Final = "SELECT version FROM api_keys_version"
_KNOWN: Final = "SELECT EXISTS (SELECT FROM api_keys)"
# What others write here may be infinite, as PostgreSQL says never, which is no number.
_MS: Final = """
CASE WHEN {0} IS NOT NULL THEN
    (extract(epoch FROM least(greatest({0}, 'epoch'), '9999-12-31Z')) * 1000)::bigint END
"""
_TIMES: Final = ",".join(map(_MS.format, ("created_at", "expires_at", "revoked_at")))
_COLUMNS: Final = f"""
    key_id, secret_sha256, name, symbols, channels, requests_per_minute, connections, {_TIMES}
"""
_ALL: Final = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, key_id"
_IN_FORCE: Final = f"""
SELECT {_COLUMNS} FROM api_keys WHERE revoked_at IS NULL AND key_id > %s ORDER BY key_id LIMIT %s
"""
_ADD: Final = """
INSERT INTO api_keys (key_id, secret_sha256, name, symbols, channels, requests_per_minute,
    connections, expires_at)
SELECT %s, %s, %s, %s, %s, %s, %s, to_timestamp(%s::double precision / 1000)
WHERE (SELECT count(*) FROM api_keys WHERE revoked_at IS NULL) < %s
ON CONFLICT (key_id) DO NOTHING
RETURNING key_id
"""
_REVOKE: Final = """
UPDATE api_keys SET revoked_at = now() WHERE key_id = ANY(%s) AND revoked_at IS NULL
RETURNING key_id
"""


class KeyNotAdded(TickgateError):
    """A key with that id is there already, or there are too many."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(key_id)

    def __str__(self) -> str:
        return (
            f"key {self.key_id} was not added: there is one of that id (revoked ones count), or "
            f"{MAX_KEYS} are in force; choose another id, or revoke what is not used"
        )


class ApiKeyStore:
    """The table of keys. Each call raises DatabaseUnavailable while that cannot be asked."""

    def __init__(self, database: Database) -> None:
        """*database* stays the caller's."""
        self._database = database

    async def version(self) -> int:
        """Grows with each change, so that who follows the keys need not read all of them."""
        ((version,),) = await self._database.fetch("version of keys", _VERSION)
        return int(version)

    async def any_ever(self) -> bool:
        """Has there been a key, revoked or not?"""
        ((any_ever,),) = await self._database.fetch("any key", _KNOWN)
        return bool(any_ever)

    async def in_force(self) -> AsyncIterator[Sequence[StoredKey]]:
        """All keys that were not revoked, also those that have expired.

        They come a few at a time, so that whoever reads many has time for others in between. What
        changes meanwhile may be in it or not: the version tells of that.
        """
        last = ""
        for _ in range(MAX_KEYS // _PAGE):
            rows = await self._database.fetch("keys in force", _IN_FORCE, [last, _PAGE])
            yield [_key_of(row) for row in rows]
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    async def all(self) -> list[StoredKey]:
        """Every key there ever was, by time of creation."""
        return [_key_of(row) for row in await self._database.fetch("list keys", _ALL)]

    async def add(self, key: StoredKey) -> None:
        """Let *key* in from now on; its times but that of expiry are the database's.

        Raises:
            KeyNotAdded: its id was used before, or there are too many keys.
        """
        parameters = [
            key.key_id,
            key.secret_sha256,
            key.name,
            list(key.symbols),
            None if key.channels is None else list(key.channels),
            key.requests_per_minute,
            key.connections,
            key.expires_ms,
            MAX_KEYS,
        ]
        if not await self._database.fetch("add a key", _ADD, parameters):
            raise KeyNotAdded(key.key_id)

    async def revoke(self, key_ids: list[str]) -> list[str]:
        """Let these keys in no more; those that were in force until now."""
        rows = await self._database.fetch("revoke keys", _REVOKE, [key_ids])
        return [key_id for (key_id,) in rows]


def _key_of(row: tuple[object, ...]) -> StoredKey:
    names = StoredKey.__struct_fields__
    return msgspec.convert(dict(zip(names, row, strict=True)), StoredKey)
