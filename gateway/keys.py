"""API keys: who may use the gateway. Pure; secrets are held as SHA-256 only."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

from core.market.errors import TickgateError

_KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_NOBODY: Final = bytes(32)  # compared for an unknown id, so that it takes as long as a known one
_MAX_CREDENTIAL: Final = 512  # characters of a header that we look at; real ones have below 150


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
    """The keys that are let in, by id; no key at all lets everybody in."""

    def __init__(self, digests: Mapping[str, bytes] | None = None) -> None:
        """Take the SHA-256 (32 bytes) of each key's secret, by key id."""
        self._digests = dict(digests or {})

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
            if not _KEY_ID.fullmatch(key_id):
                raise ApiKeysError(entry, "the key id is not 1 to 64 of letters, digits and _ . -")
            if not _SHA256_HEX.fullmatch(digest):
                raise ApiKeysError(entry, f"the digest has {len(digest)} characters or no hex")
            if key_id in digests:
                raise ApiKeysError(entry, "the key id occurred before")
            digests[key_id] = bytes.fromhex(digest)
        return cls(digests)

    @property
    def required(self) -> bool:
        """Must a client show a key?"""
        return bool(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def check(self, key_id: str, secret: str) -> bool:
        """Is *secret* that of *key_id*? Takes as long for an unknown id; True without any keys."""
        if not self._digests:
            return True
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        stored = self._digests.get(key_id)
        equal = hmac.compare_digest(given, _NOBODY if stored is None else stored)
        return equal and stored is not None


def credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Key id and secret of a request, or None where it carries none that can be read.

    Accepted are the pair ``APCA-API-KEY-ID`` and ``APCA-API-SECRET-KEY``, and ``Authorization``
    as ``Basic`` (base64 of ``KEYID:SECRET``) or ``Bearer KEYID:SECRET``. *headers* finds names
    in any case, as aiohttp's and websockets' do.
    """
    key_id, secret = headers.get("APCA-API-KEY-ID"), headers.get("APCA-API-SECRET-KEY")
    if key_id is not None and secret is not None:
        return key_id, secret
    scheme, _, value = headers.get("Authorization", "")[:_MAX_CREDENTIAL].partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    elif scheme.lower() != "bearer":
        return None
    key_id, colon, secret = value.partition(":")
    return (key_id, secret) if colon else None
