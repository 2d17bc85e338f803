"""The stream's messages, as far as a load test looks at them. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from core.market.errors import TickgateError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US_NS: Final = 1_000


class StreamError(TickgateError):
    """The server sent what is not in the protocol, or an error message."""


class Message(msgspec.Struct, frozen=True):
    """One message of a batch; other fields are skipped.

    ``t`` is rounded to microseconds here, finer than any latency of interest.
    """

    type: str = msgspec.field(name="T")
    symbol: str = msgspec.field(name="S", default="")
    trade_id: int | None = msgspec.field(name="i", default=None)
    time: datetime | None = msgspec.field(name="t", default=None)
    code: int = 0
    text: str = msgspec.field(name="msg", default="")


class Trade(msgspec.Struct, frozen=True):
    """What a subscriber checks of a trade; ``event_ns`` in UNIX nanoseconds."""

    symbol: str
    trade_id: int
    event_ns: int


_DECODER: Final = msgspec.json.Decoder(list[Message])


def trades_of(frame: str | bytes) -> list[Trade]:
    """The trades in one frame, in order.

    Raises:
        StreamError: the frame is not an array of messages, holds an error message, or a trade
            without an id or a time.
    """
    try:
        messages = _DECODER.decode(frame)
    except msgspec.DecodeError as exc:
        raise StreamError(f"not an array of messages: {exc}") from exc
    for message in messages:
        if message.type == "error":
            raise StreamError(f"the server answered {message.code} {message.text}")
    return [_trade(message) for message in messages if message.type == "t"]


def is_greeting(frame: str | bytes) -> bool:
    """Is this the message that a server sends first?"""
    try:
        messages = _DECODER.decode(frame)
    except msgspec.DecodeError:
        return False
    return [(m.type, m.text) for m in messages] == [("success", "connected")]


def _trade(message: Message) -> Trade:
    if message.trade_id is None or message.time is None:
        raise StreamError(f"a trade of {message.symbol} without an id or a time")
    event_us = (message.time - _EPOCH) // timedelta(microseconds=1)
    return Trade(message.symbol, message.trade_id, event_us * _US_NS)
