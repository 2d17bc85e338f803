"""ApiKeyStore: the keys of the gateway's callers. Secrets are known by their SHA-256 only."""

from typing import Final

import msgspec

from core.market.errors import TickgateError
from storage.database import Database
from storage.stored_key import StoredKey

MAX_KEYS: Final = 100_000  # in force at a time; a gateway holds all of them, some 500 bytes each

_VERSION: Final = "SELECT version FROM api_keys_version"
_KNOWN: Final = "SELECT EXISTS (SELECT FROM api_keys)"
_COLUMNS: Final = """
    key_id, secret_sha256, name, symbols, channels, requests_per_minute, connections,
    (extract(epoch FROM created_at) * 1000)::bigint,
    (extract(epoch FROM expires_at) * 1000)::bigint,
    (extract(epoch FROM revoked_at) * 1000)::bigint
"""
_ALL: Final = f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, key_id"
_IN_FORCE: Final = f"SELECT {_COLUMNS} FROM api_keys WHERE revoked_at IS NULL LIMIT {MAX_KEYS}"
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


class KeysInForce(msgspec.Struct, frozen=True):
    """The keys that were not revoked; ``any_ever``: has there been one, revoked or not?"""

    keys: tuple[StoredKey, ...]
    any_ever: bool


class ApiKeyStore:
    """The table of keys. Each call is one statement, and raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        """*database* stays the caller's."""
        self._database = database

    async def version(self) -> int:
        """Grows with each change, so that who follows the keys need not read all of them."""
        ((version,),) = await self._database.fetch("version of keys", _VERSION)
        return int(version)

    async def in_force(self) -> KeysInForce:
        """All keys that were not revoked, also those that have expired."""
        rows = await self._database.fetch("keys in force", _IN_FORCE)
        ((any_ever,),) = await self._database.fetch("any key", _KNOWN)
        return KeysInForce(tuple(map(_key_of, rows)), any_ever)

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
