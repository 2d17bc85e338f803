"""The API keys of the settings. Pure; secrets are held as SHA-256 only."""

import re
from collections.abc import Mapping
from typing import Final

from core.market.errors import TickgateError
from gateway.access.credentials import TOKEN_KEYS

ACCEPTED_ID: Final = (
    f"1 to 64 of letters, digits and _ . -, and none of {', '.join(TOKEN_KEYS)}, which stand for "
    "a token"
)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


def is_key_id(text: str) -> bool:
    """May a key be called *text*?"""
    return _KEY_ID.fullmatch(text) is not None and text not in TOKEN_KEYS


class ApiKeysError(TickgateError):
    """The setting with the API keys cannot be read. Never shows what was in it."""

    def __init__(self, entry: int, reason: str) -> None:
        self.entry, self.reason = entry, reason
        super().__init__(entry, reason)

    def __str__(self) -> str:
        return (
            f"api_keys: entry {self.entry}: {self.reason}; expected KEYID:SHA256HEX[,KEYID:…], "
            "where SHA256HEX is the SHA-256 of the secret as 64 hexadecimal digits"
        )


class ApiKeys:
    """The keys of the settings, by id."""

    def __init__(self, digests: Mapping[str, bytes] | None = None) -> None:
        """Take the SHA-256 (32 bytes) of each key's secret, by key id."""
        self.digests: Mapping[str, bytes] = dict(digests or {})

    @classmethod
    def parse(cls, text: str) -> "ApiKeys":
        """Read ``KEYID:SHA256HEX[,KEYID:SHA256HEX…]``; blank text means no keys.

        Raises:
            ApiKeysError: an entry is ill-formed, or an id occurs twice.
        """
        digests: dict[str, bytes] = {}
        for entry, item in enumerate(text.split(",") if text.strip() else (), start=1):
            key_id, colon, digest = item.strip().partition(":")
            if not colon:
                raise ApiKeysError(entry, "no colon between key id and digest")
            if not is_key_id(key_id):
                raise ApiKeysError(entry, f"the key id is not {ACCEPTED_ID}")
            if not _SHA256_HEX.fullmatch(digest):
                raise ApiKeysError(entry, f"the digest has {len(digest)} characters or no hex")
            if key_id in digests:
                raise ApiKeysError(entry, "the key id occurred before")
            digests[key_id] = bytes.fromhex(digest)
        return cls(digests)

    def __len__(self) -> int:
        return len(self.digests)
