"""The channels of the stream endpoint, and which message type each one carries. Pure."""

import enum
from typing import Final

from core.market.bar import Bar
from core.market.timeframe import Timeframe


class Codec(enum.Enum):
    """How a session's messages are written: as text or binary, in our own way or a published one.

    ``opcode`` is that of its WebSocket frames. ``stocks``: in the shapes of stocks, else of
    crypto. ``plain``: ``*`` leaves out venues, as the published protocol knows none.
    """

    JSON = (1, "")
    MSGPACK = (2, "")
    COIN_JSON = (1, "crypto")
    COIN_MSGPACK = (2, "crypto")
    STOCK_JSON = (1, "stocks")
    STOCK_MSGPACK = (2, "stocks")

    def __init__(self, opcode: int, published: str) -> None:
        self.opcode, self.stocks, self.plain = opcode, published == "stocks", bool(published)
        self.is_text = opcode == 1

    @property
    def of_coins(self) -> "Codec":
        """The same as the published protocol has it for crypto."""
        return Codec.COIN_JSON if self.is_text else Codec.COIN_MSGPACK

    @property
    def of_stocks(self) -> "Codec":
        """The same in the shapes of stocks."""
        return Codec.STOCK_JSON if self.is_text else Codec.STOCK_MSGPACK


class Mode(enum.StrEnum):
    """What a batch holds: every message, or per channel and symbol the newest only."""

    ALL = "all"
    LATEST = "latest"


class Channel(enum.StrEnum):
    """What a client subscribes to; the value is the key in `subscribe`. Order: as in replies."""

    TRADES = "trades"
    QUOTES = "quotes"
    ORDERBOOKS = "orderbooks"
    BARS = "bars"
    UPDATED_BARS = "updatedBars"
    DAILY_BARS = "dailyBars"
    STATUSES = "statuses"
    LULDS = "lulds"
    IMBALANCES = "imbalances"
    RUNNING_BARS = "runningBars"
    BARS_5 = "bars5Min"
    UPDATED_BARS_5 = "updatedBars5Min"
    RUNNING_BARS_5 = "runningBars5Min"
    BARS_15 = "bars15Min"
    UPDATED_BARS_15 = "updatedBars15Min"
    RUNNING_BARS_15 = "runningBars15Min"


CHANNELS: Final = tuple(Channel)
WILDCARD: Final = "*"

_CLOSED: Final = {
    Timeframe.MIN_1: Channel.BARS,
    Timeframe.MIN_5: Channel.BARS_5,
    Timeframe.MIN_15: Channel.BARS_15,
}
_UPDATED: Final = {
    Timeframe.MIN_1: Channel.UPDATED_BARS,
    Timeframe.MIN_5: Channel.UPDATED_BARS_5,
    Timeframe.MIN_15: Channel.UPDATED_BARS_15,
}
_RUNNING: Final = {
    Timeframe.MIN_1: Channel.RUNNING_BARS,
    Timeframe.MIN_5: Channel.RUNNING_BARS_5,
    Timeframe.MIN_15: Channel.RUNNING_BARS_15,
}

SILENT: Final = frozenset(
    (
        Channel.QUOTES,
        Channel.ORDERBOOKS,
        Channel.DAILY_BARS,
        Channel.STATUSES,
        Channel.LULDS,
        Channel.IMBALANCES,
    )
)
"""Channels of the published protocol on which nothing comes: no feed carries that."""

TYPES: Final = {
    Channel.TRADES: "t",
    **dict.fromkeys(_CLOSED.values(), "b"),
    **dict.fromkeys(_UPDATED.values(), "u"),
    **dict.fromkeys(_RUNNING.values(), "r"),
}
"""The `T` of a channel's messages."""

CONFLATED: Final = frozenset(_RUNNING.values())
"""Channels of which a batch holds the newest message per symbol only."""

RANK: Final = {
    **dict.fromkeys(CHANNELS, 0),
    **dict.fromkeys(_CLOSED.values(), 1),
    **dict.fromkeys(_UPDATED.values(), 2),
}
"""The order of channels in a batch: of one bar, running ones first, its close, then revisions."""

TIMEFRAMES_OF: Final = {
    channel: timeframe
    for by_timeframe in (_CLOSED, _UPDATED, _RUNNING)
    for timeframe, channel in by_timeframe.items()
}
"""The timeframe of each channel of bars."""


def running_channel(timeframe: Timeframe) -> Channel:
    """The channel of running bars of *timeframe*."""
    return _RUNNING[timeframe]


def channel_of(bar: Bar) -> Channel:
    """Running bars, first publications and revisions each have their channel."""
    if not bar.final:
        return _RUNNING[bar.timeframe]
    return _UPDATED[bar.timeframe] if bar.rev else _CLOSED[bar.timeframe]
