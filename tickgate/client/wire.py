"""Frames of the stream as messages: msgpack and JSON, by one description of each type. Pure.

Types that this version does not know are left out, so that a newer gateway may send more.
"""

import enum
import functools
import operator
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec.msgpack import Ext

from tickgate.client.errors import ClientError
from tickgate.client.messages import (
    ONE_MINUTE,
    Bar,
    Cancel,
    Correction,
    Gap,
    Heartbeat,
    Message,
    RunningBar,
    Shutdown,
    Stale,
    Trade,
    UpdatedBar,
)
from tickgate.client.times import from_text, from_timestamp
from tickgate.client.wanted import WIRE

T = TypeVar("T")  # how the codec writes a time: Ext in msgpack, text in JSON


class Encoding(enum.StrEnum):
    """How frames are written; msgpack is smaller and has exact, cheap times."""

    MSGPACK = "msgpack"
    JSON = "json"


class Success(msgspec.Struct, frozen=True, tag_field="T", tag="success"):
    """``connected`` or ``authenticated``."""

    msg: str


class Subscription(msgspec.Struct, frozen=True, tag_field="T", tag="subscription", rename=WIRE):
    """The entire set, after a change; unasked when the caller's rights have changed."""

    trades: tuple[str, ...] = ()
    bars: tuple[str, ...] = ()
    updated_bars: tuple[str, ...] = ()
    running_bars: tuple[str, ...] = ()
    bars_5min: tuple[str, ...] = ()
    updated_bars_5min: tuple[str, ...] = ()
    running_bars_5min: tuple[str, ...] = ()
    bars_15min: tuple[str, ...] = ()
    updated_bars_15min: tuple[str, ...] = ()
    running_bars_15min: tuple[str, ...] = ()


class Error(msgspec.Struct, frozen=True, tag_field="T", tag="error"):
    """A request, or the whole session, is refused; for the names of it that are listed, if any."""

    code: int
    msg: str = ""
    symbols: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class Cursor(msgspec.Struct, frozen=True, tag_field="T", tag="cursor"):
    """All that came before it counts as received."""

    c: str


Control = Success | Subscription | Error | Cursor


class _Trade(msgspec.Struct, Generic[T], tag_field="T", tag="t", gc=False):
    S: str
    p: float
    s: float
    t: T
    i: int | None = None
    tks: str | None = None


class _Bar(msgspec.Struct, Generic[T], tag_field="T", tag="b", gc=False):
    S: str
    t: T
    o: float
    h: float
    l: float  # noqa: E741  the published name
    c: float
    v: float
    n: int
    vw: float
    tf: str = ONE_MINUTE
    rev: int = 0
    final: bool = True
    gap: bool = False


class _UpdatedBar(_Bar[T], Generic[T], tag_field="T", tag="u", gc=False):
    pass


class _RunningBar(_Bar[T], Generic[T], tag_field="T", tag="r", gc=False):
    pass


class _Correction(msgspec.Struct, Generic[T], tag_field="T", tag="c", gc=False):
    S: str
    oi: int
    op: float
    os: float
    ci: int
    cp: float
    cs: float
    t: T


class _Cancel(msgspec.Struct, Generic[T], tag_field="T", tag="x", gc=False):
    S: str
    i: int
    p: float
    s: float
    t: T
    a: str = "C"
    tks: str | None = None


class _Gap(msgspec.Struct, Generic[T], tag_field="T", tag="gap", rename={"start": "from"}):
    S: str
    start: T
    to: T
    state: Literal["open", "filled", "lost"]
    channels: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None


class _Heartbeat(msgspec.Struct, Generic[T], tag_field="T", tag="hb"):
    t: T
    feeds: Mapping[str, T | None] = {}


class _Stale(msgspec.Struct, Generic[T], tag_field="T", tag="stale"):
    feed: str
    stale: bool
    since: T
    t: T | None = None
    venue: str = ""
    ended: bool = False


class _Shutdown(msgspec.Struct, tag_field="T", tag="shutdown"):
    msg: str = ""
    within_s: float = 0.0


class WireError(ClientError):
    """What came is no frame of the stream: another server answers at that address."""

    def __str__(self) -> str:
        return f"the server sent what is no frame of the stream: {self.args[0]}"


class Decoder:
    """Reads the frames of one encoding. Stateless but for msgspec's decoders."""

    def __init__(self, encoding: Encoding) -> None:
        """Raises: ValueError: *encoding* is not one of :class:`Encoding`."""
        self._ns: Callable[[Any], int]
        if Encoding(encoding) is Encoding.JSON:
            self._list: Any = msgspec.json.Decoder(_frame_of(str))
            self._item: Any = msgspec.json.Decoder(_item_of(str))
            self._raw: Any = msgspec.json.Decoder(list[msgspec.Raw])
            self._ns = from_text
        else:
            self._list = msgspec.msgpack.Decoder(_frame_of(Ext))
            self._item = msgspec.msgpack.Decoder(_item_of(Ext))
            self._raw = msgspec.msgpack.Decoder(list[msgspec.Raw])
            self._ns = _ext_ns

    def decode(self, payload: bytes | str) -> list[Message | Control]:
        """The messages of one frame, in order; those of unknown types are left out.

        Raises:
            WireError: *payload* is no array of messages.
        """
        ns = self._ns
        try:
            return [_READ[type(item)](item, ns) for item in self._items(payload)]
        except (msgspec.DecodeError, ValueError, struct.error) as exc:
            raise WireError(str(exc)) from exc

    def _items(self, payload: bytes | str) -> list[Any]:
        try:
            items: list[Any] = self._list.decode(payload)
        except msgspec.ValidationError:
            return [item for raw in self._raw.decode(payload) for item in self._known(raw)]
        return items

    def _known(self, raw: msgspec.Raw) -> list[Any]:
        try:
            return [self._item.decode(raw)]
        except msgspec.ValidationError as exc:
            if str(exc).endswith("at `$.T`"):
                return []
            raise


def _item_of(time: Any) -> Any:
    generic: tuple[Any, ...] = (
        *(_Trade, _Bar, _UpdatedBar, _RunningBar, _Correction, _Cancel, _Gap, _Heartbeat, _Stale),
    )
    plain = (_Shutdown, Success, Subscription, Error, Cursor)
    kinds = [*(kind[time] for kind in generic), *plain]
    return functools.reduce(operator.or_, kinds)


def _frame_of(time: Any) -> Any:
    return list[_item_of(time)]  # type: ignore[misc]  # made at run time, one for each encoding


def _ext_ns(time: Ext) -> int:
    return from_timestamp(bytes(time.data))


def _trade(item: _Trade[Any], ns: Callable[[Any], int]) -> Trade:
    return Trade(item.S, item.p, item.s, ns(item.t), item.i, item.tks)


def _bar_as(kind: type[Bar]) -> Callable[[_Bar[Any], Callable[[Any], int]], Bar]:
    def read(item: _Bar[Any], ns: Callable[[Any], int]) -> Bar:
        return kind(
            *(item.S, item.tf, ns(item.t), item.o, item.h, item.l, item.c, item.v),
            *(item.n, item.vw, item.rev, item.final, item.gap),
        )

    return read


def _correction(item: _Correction[Any], ns: Callable[[Any], int]) -> Correction:
    return Correction(
        item.S, item.oi, item.op, item.os, item.ci, item.cp, item.cs, time_ns=ns(item.t)
    )


def _cancel(item: _Cancel[Any], ns: Callable[[Any], int]) -> Cancel:
    return Cancel(item.S, item.i, item.p, item.s, ns(item.t), item.a, item.tks)


def _gap(item: _Gap[Any], ns: Callable[[Any], int]) -> Gap:
    return Gap(
        *(item.S, ns(item.start), ns(item.to), item.state, item.channels, item.first, item.last)
    )


def _heartbeat(item: _Heartbeat[Any], ns: Callable[[Any], int]) -> Heartbeat:
    feeds = {feed: None if time is None else ns(time) for feed, time in item.feeds.items()}
    return Heartbeat(ns(item.t), feeds)


def _stale(item: _Stale[Any], ns: Callable[[Any], int]) -> Stale:
    newest_ns = None if item.t is None else ns(item.t)
    return Stale(item.feed, item.venue, item.stale, newest_ns, ns(item.since), item.ended)


def _shutdown(item: _Shutdown, _: Callable[[Any], int]) -> Shutdown:
    return Shutdown(item.msg, item.within_s)


def _as_is(item: Control, _: Callable[[Any], int]) -> Control:
    return item


_READ: Final[Mapping[type, Callable[[Any, Callable[[Any], int]], Message | Control]]] = {
    _Trade: _trade,
    _Bar: _bar_as(Bar),
    _UpdatedBar: _bar_as(UpdatedBar),
    _RunningBar: _bar_as(RunningBar),
    _Correction: _correction,
    _Cancel: _cancel,
    _Gap: _gap,
    _Heartbeat: _heartbeat,
    _Stale: _stale,
    _Shutdown: _shutdown,
    Success: _as_is,
    Subscription: _as_is,
    Error: _as_is,
    Cursor: _as_is,
}
