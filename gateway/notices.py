"""What is said about trades besides the trades, as messages: corrections, cancels, gaps. Pure.

They come on the channel of the symbol's trades, in their place among these.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from core.market.notice import Cancel, Correction, Gap, Notice
from core.market.tick import NO_ID, Side
from gateway.channels import Codec
from gateway.encode import time_value
from gateway.frames import SEPARATORS
from gateway.stock_shapes import EXCHANGE, TAPE, shaped_size

_TAKER: Final = {Side.BUY: "B", Side.SELL: "S"}


class NoticeRun:
    """Notices of one symbol that stand together in a window; see :class:`gateway.runs.Run`."""

    __slots__ = ("notices",)

    def __init__(self, notices: Sequence[Notice]) -> None:
        self.notices = notices

    def __len__(self) -> int:
        return len(self.notices)

    def body(self, spelling: str, codec: Codec) -> bytes:
        """The inside of an array."""
        return SEPARATORS[codec].join(self.items(spelling, codec))

    def items(self, spelling: str, codec: Codec) -> list[bytes]:
        """One by one."""
        return [notice_item(notice, spelling, codec) for notice in self.notices]


def notice_item(notice: Notice, spelling: str, codec: Codec) -> bytes:
    """*notice* as an item of a batch: `T` is ``c``, ``x`` or ``gap``."""
    kind, fields = _fields(notice, codec)
    message = {"T": kind, "S": spelling, **fields}
    return msgspec.json.encode(message) if codec.is_text else msgspec.msgpack.encode(message)


def _fields(notice: Notice, codec: Codec) -> tuple[str, dict[str, Any]]:
    if isinstance(notice, Correction):
        return "c", _correction(notice, codec)
    if isinstance(notice, Cancel):
        return "x", _cancel(notice, codec)
    return "gap", _gap(notice, codec)


def _correction(notice: Correction, codec: Codec) -> dict[str, Any]:
    return {
        "x": EXCHANGE,
        "oi": notice.trade_id,
        "op": notice.price,
        "os": shaped_size(notice.size, codec),
        "oc": [],
        "ci": notice.new_id,
        "cp": notice.new_price,
        "cs": shaped_size(notice.new_size, codec),
        "cc": [],
        "t": time_value(notice.event_ns, codec),
        "z": TAPE,
    }


def _cancel(notice: Cancel, codec: Codec) -> dict[str, Any]:
    taker = None if codec.stocks else _TAKER.get(notice.side)
    return {
        "i": notice.trade_id,
        "x": EXCHANGE,
        "p": notice.price,
        "s": shaped_size(notice.size, codec),
        "a": notice.action.value,
        "t": time_value(notice.event_ns, codec),
        "z": TAPE,
        **({} if taker is None else {"tks": taker}),
    }


def _gap(notice: Gap, codec: Codec) -> dict[str, Any]:
    ids = {} if notice.first_id == NO_ID else {"first": notice.first_id, "last": notice.last_id}
    return {
        "from": time_value(notice.from_ns, codec),
        "to": time_value(notice.to_ns, codec),
        "state": notice.state.value,
        "channels": ["trades"],
        **ids,
    }
