"""Tokens that expire: when a new one has to be shown. Pure."""

import base64
import binascii
from typing import Final

import msgspec

_EARLY_S: Final = 60.0  # the gateway's clock and ours may differ, and a token service may be slow
_SOONEST_S: Final = 1.0  # where it gets expired ones, it is not to be asked without a pause
_LATEST_SHARE: Final = 0.8  # of what is left of a short-lived token


class _Claims(msgspec.Struct):
    exp: float | None = None


def expiry_s(token: str) -> float | None:
    """When *token* expires, UNIX seconds; None if it does not say, or is no JWT.

    Nothing is verified: that is the gateway's part.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims).exp
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None


def renewal_s(token: str, now_s: float) -> float | None:
    """In how many seconds a new token should be shown; None: never."""
    expires_s = expiry_s(token)
    if expires_s is None:
        return None
    left_s = expires_s - now_s
    return max(_SOONEST_S, left_s - _EARLY_S, left_s * _LATEST_SHARE)
