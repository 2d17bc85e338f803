"""Tokens that expire: when a new one has to be shown. Pure."""

import base64
import binascii
from typing import Any, Final

import msgspec

_EARLY_S: Final = 60.0  # the gateway's clock and ours may differ, and a token service may be slow
_SOONEST_S: Final = 1.0  # where it gets expired ones, it is not to be asked without a pause
_LATEST_SHARE: Final = 0.8  # of what is left of a short-lived token


class _Claims(msgspec.Struct):
    exp: float | None = None
    iat: Any = None


def renewal_s(token: str, now_s: float) -> float | None:
    """In how many seconds a new token should be shown, just given; None: never, it does not say.

    A clock by which it is not issued yet, or has expired already, is wrong: then it lasts as long
    as it was made for. Nothing is verified: that is the gateway's part.
    """
    claims = _claims(token)
    if claims is None or claims.exp is None:
        return None
    left_s = claims.exp - now_s
    if isinstance(claims.iat, int | float) and not claims.iat <= now_s <= claims.exp:
        left_s = claims.exp - claims.iat
    return max(_SOONEST_S, left_s - _EARLY_S, left_s * _LATEST_SHARE)


def _claims(token: str) -> _Claims | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        return None
