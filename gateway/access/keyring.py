"""The API keys that are let in, checked in memory. Pure; secrets are held as SHA-256 only."""

import functools
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.access.entitlement import Entitlement, EntitlementError
from gateway.access.grant import Caller
from storage.stored_key import StoredKey

_NOBODY: Final = bytes(32)  # compared for an unknown id, so that it takes as long as a known one
_MS_NS: Final = 1_000_000


class KeyRecord(msgspec.Struct, frozen=True):
    """The SHA-256 of a key's secret, and what whoever shows it may do."""

    digest: bytes
    caller: Caller

    def __repr__(self) -> str:
        return f"KeyRecord({self.caller.key_id!r})"


class Keyring:
    """Keys by id. Immutable: other keys are another ring."""

    def __init__(self, records: Mapping[str, KeyRecord] | None = None) -> None:
        self._records = dict(records or {})

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._records

    def get(self, key_id: str) -> Caller | None:
        """What the owner of *key_id* may do now."""
        record = self._records.get(key_id)
        return None if record is None else record.caller

    def check(self, key_id: str, secret: str) -> Caller | None:
        """Who shows *secret* for *key_id*; None: nobody. Takes as long for an unknown id."""
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        record = self._records.get(key_id)
        equal = hmac.compare_digest(given, _NOBODY if record is None else record.digest)
        return record.caller if equal and record is not None else None


def fixed_keys(digests: Mapping[str, bytes], *, requests_per_minute: int) -> Keyring:
    """The keys of the settings: each may read everything."""
    return Keyring(
        {
            key_id: KeyRecord(
                digest, Caller(key_id=key_id, requests_per_minute=requests_per_minute)
            )
            for key_id, digest in digests.items()
        }
    )


def stored_keys(
    keys: Iterable[StoredKey], *, requests_per_minute: int
) -> tuple[Mapping[str, KeyRecord], list[str]]:
    """The keys of the database by id, and the ids of those that cannot be read: these are left out.

    *requests_per_minute* holds for those that have no number of their own.
    """
    records: dict[str, KeyRecord] = {}
    unreadable: list[str] = []
    for key in keys:
        try:
            caller = _caller_of(key, requests_per_minute)
        except EntitlementError:
            unreadable.append(key.key_id)
        else:
            records[key.key_id] = KeyRecord(key.secret_sha256, caller)
    return records, unreadable


_entitlement: Final = functools.lru_cache(maxsize=1_000)(Entitlement)
"""Most keys may read the same as others; to read their patterns takes longer than all else."""


def _caller_of(key: StoredKey, requests_per_minute: int) -> Caller:
    own = key.requests_per_minute
    return Caller(
        key_id=key.key_id,
        symbols=_entitlement(key.symbols),
        channels=None if key.channels is None else frozenset(key.channels),
        requests_per_minute=requests_per_minute if own is None else own,
        connections=key.connections or 0,
        expires_ns=0 if key.expires_ms is None else max(1, key.expires_ms * _MS_NS),  # 0 is never
    )
