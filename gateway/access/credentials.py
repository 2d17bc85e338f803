"""What a caller shows to be let in: a key with its secret, or a token. Pure."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

TOKEN_KEYS: Final = ("oauth", "access_token")
"""Key ids of the published clients that say: the secret is a token."""

_MAX_FIELDS: Final = 20  # of a query
_MAX_CREDENTIAL: Final = 512  # characters of a key with its secret; real ones have below 150


@dataclass(frozen=True, slots=True, repr=False)
class ShownKey:
    """A key id and the secret that is said to be its."""

    key_id: str
    secret: str


@dataclass(frozen=True, slots=True, repr=False)
class ShownToken:
    """A JSON Web Token, not looked at yet."""

    token: str


Shown = ShownKey | ShownToken
"""Never printed: neither has a form to be read."""


def shown_in(headers: Mapping[str, str]) -> Shown | None:
    """What the *headers* of a request show, or None where they carry nothing that can be read.

    Accepted are the pair ``APCA-API-KEY-ID`` and ``APCA-API-SECRET-KEY``, and ``Authorization``
    as ``Basic`` (base64 of ``KEYID:SECRET``), ``Bearer KEYID:SECRET`` or ``Bearer TOKEN``.
    *headers* finds names in any case, or at least in lower case.
    """
    key_id, secret = headers.get("apca-api-key-id"), headers.get("apca-api-secret-key")
    if key_id is not None and secret is not None:
        return shown_as(key_id, secret)
    scheme, _, value = headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return _bearer(value)
    return _basic(value) if scheme.lower() == "basic" else None


def shown_as(key_id: str, secret: str) -> Shown | None:
    """What the fields of an ``auth`` message show."""
    if key_id in TOKEN_KEYS:
        return _bearer(secret)
    return None if len(secret) > _MAX_CREDENTIAL else ShownKey(key_id, secret)


def shown_in_query(target: str) -> Shown | None:
    """The token in the query of a request's *target*, for browsers, which can set no header.

    Keys are not taken from there: they live long, and a URL is kept in many places. What is no
    token is one that is ill-formed, so that its bearer hears of it.
    """
    _, asks, query = target.partition("?")
    if not asks or "token=" not in query:
        return None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:  # more than that
        return ShownToken("")
    values = [value for name, value in pairs if name == "token"]
    if not values:
        return None
    return ShownToken(values[0] if len(values) == 1 and _is_token(values[0]) else "")


def _bearer(value: str) -> Shown | None:
    key_id, colon, secret = value.partition(":")
    if colon:  # no token has one
        return None if len(value) > _MAX_CREDENTIAL else ShownKey(key_id, secret)
    return ShownToken(value) if _is_token(value) else None


def _is_token(value: str) -> bool:
    return value.count(".") == 2


def _basic(value: str) -> Shown | None:
    if len(value) > _MAX_CREDENTIAL:
        return None
    try:
        decoded = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    key_id, colon, secret = decoded.partition(":")
    return ShownKey(key_id, secret) if colon else None
