"""The stream's endpoints: their paths, their channels, and the shapes of their messages. Pure.

One is our own; the others are those of the published SDKs, which take channels that they do not
know for granted, but not keys that are missing.
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway.channels import CHANNELS, SILENT, Channel, Codec

WITH_TRADES: Final = ("corrections", "cancelErrors")
"""Channels that come with the trades of a symbol, and not without them."""

_NATIVE: Final = tuple(ch for ch in CHANNELS if ch not in SILENT - {Channel.QUOTES})
_CRYPTO: Final = (
    *(Channel.TRADES, Channel.QUOTES, Channel.ORDERBOOKS),
    *(Channel.BARS, Channel.UPDATED_BARS, Channel.DAILY_BARS),
)
_STOCKS: Final = (
    *(Channel.TRADES, Channel.QUOTES, Channel.BARS, Channel.UPDATED_BARS),
    *(Channel.DAILY_BARS, Channel.STATUSES, Channel.LULDS),
)
NAME: Final = "[A-Za-z0-9_-]{1,32}"
"""The shape of a name in the path of an endpoint."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one path offers.

    ``channels`` are in every reply; ``extra`` may be subscribed to as well and are in replies
    while they are. ``stocks``: messages have the shapes of stocks, and only stocks are there.
    ``coins``: messages are those of the published streams of crypto.
    """

    path: str
    channels: tuple[Channel, ...]
    extra: tuple[Channel, ...] = ()
    with_trades: tuple[str, ...] = WITH_TRADES
    stocks: bool = False
    coins: bool = False

    @property
    def accepted(self) -> tuple[Channel, ...]:
        """All that may be subscribed to."""
        return self.channels + self.extra

    def codec(self, plain: Codec) -> Codec:
        """*plain* as this endpoint writes it."""
        if self.stocks:
            return plain.of_stocks
        return plain.of_coins if self.coins else plain


def _extra(channels: tuple[Channel, ...], *more: Channel) -> tuple[Channel, ...]:
    return (*more, *(channel for channel in _NATIVE if channel not in channels))


NATIVE: Final = Endpoint("/v1/stream", _NATIVE)
CRYPTO: Final = Endpoint(
    f"/v1beta3/crypto/{{loc:{NAME}}}", _CRYPTO, _extra(_CRYPTO), with_trades=(), coins=True
)
STOCKS: Final = Endpoint(
    f"/v2/{{feed:{NAME}}}", _STOCKS, _extra(_STOCKS, Channel.IMBALANCES), stocks=True
)
ENDPOINTS: Final = (NATIVE, CRYPTO, STOCKS)

_PUBLISHED: Final = (
    (re.compile(f"/v1beta3/crypto/{NAME}"), CRYPTO),
    (re.compile(f"/v2/{NAME}"), STOCKS),
)


def endpoint_of(path: str) -> Endpoint | None:
    """The endpoint at *path* (without a query), if there is one."""
    if path == NATIVE.path:
        return NATIVE
    return next((endpoint for shape, endpoint in _PUBLISHED if shape.fullmatch(path)), None)


class StreamPaths:
    """All paths of streams: ``path in StreamPaths()``."""

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and endpoint_of(path) is not None
