"""What `tickgate watch` knows of each symbol: folds the stream's messages. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

_MARKS: Final = {1: "▲", -1: "▼", 0: " "}


class Line(msgspec.Struct):
    """One symbol's newest values; None where nothing is known yet."""

    symbol: str
    last: float | None = None
    size: float | None = None
    move: int = 0  # of the last trade against the one before: 1, 0, -1
    reference: float | None = None  # open of the day, for the change
    bar: Mapping[str, Any] | None = None  # the newest 1-minute bar, running or closed
    latency_ms: float | None = None  # from the venue's clock to ours
    trades: int = 0

    @property
    def change_percent(self) -> float | None:
        if self.last is None or not self.reference:
            return None
        return (self.last / self.reference - 1) * 100


class Board:
    """The symbols in the order asked for, then in order of appearance."""

    def __init__(self, symbols: tuple[str, ...]) -> None:
        """``*`` stands for all symbols and has no line of its own."""
        self.lines = {symbol: Line(symbol) for symbol in symbols if symbol != "*"}
        self.stale: dict[str, str] = {}  # by feed that is silent, in words

    def apply(self, message: Mapping[str, Any], now_ms: float) -> str | None:
        """Take in one message of the stream; returns a line of text for a pipe, if it makes one."""
        kind, symbol = message.get("T"), message.get("S")
        if symbol is None or kind not in ("t", "b", "u", "r"):
            return None
        line = self.lines.setdefault(symbol, Line(symbol))
        if kind == "t":
            return self._trade(line, message, now_ms)
        if line.bar is None or message["t"] >= line.bar["t"]:
            line.bar = message
        return None if kind == "r" else bar_text(message)

    def hear(self, message: Mapping[str, Any]) -> str:
        """Take in a message of type ``stale``; what it says, in words."""
        feed = message["feed"]
        if message["stale"]:
            self.stale[feed] = f"{feed} is stale: no trade since {message['since']}"
            return self.stale[feed]
        self.stale.pop(feed, None)
        return f"{feed} has ended" if message.get("ended") else f"{feed} has trades again"

    def refer(self, symbol: str, reference: float) -> None:
        """Changes are against *reference* from now on."""
        if symbol in self.lines:
            self.lines[symbol].reference = reference

    def _trade(self, line: Line, message: Mapping[str, Any], now_ms: float) -> str:
        price = message["p"]
        if line.last is not None and price != line.last:
            line.move = 1 if price > line.last else -1
        line.last, line.size, line.trades = price, message["s"], line.trades + 1
        line.latency_ms = now_ms - datetime.fromisoformat(message["t"]).timestamp() * 1000
        side = message.get("tks", "-")
        return f"{line.symbol} trade {message['t']} {price!r} {message['s']!r} {side}"


def bar_text(bar: Mapping[str, Any]) -> str:
    """A closed or revised bar as one line."""
    word = "bar" if bar["T"] == "b" else "revised"
    fields = " ".join(repr(bar[name]) for name in ("o", "h", "l", "c", "v", "n"))
    return f"{bar['S']} {word} {bar['t']} {fields}"


def cells(line: Line) -> tuple[str, ...]:
    """The texts of a table row: symbol, last, change, o, h, l, c, volume, trades, latency."""
    bar = line.bar or {}
    change = line.change_percent
    return (
        line.symbol,
        f"{_MARKS[line.move]} {number(line.last)}",
        "-" if change is None else f"{change:+.2f} %",
        *(number(bar.get(name)) for name in ("o", "h", "l", "c", "v")),
        number(bar.get("n")),
        "-" if line.latency_ms is None else f"{line.latency_ms:.0f} ms",
    )


def number(value: float | None) -> str:
    """Up to eight significant digits, no exponent for prices as they occur."""
    if value is None:
        return "-"
    text = f"{value:.8g}"
    return f"{value:.10f}".rstrip("0") if "e-" in text else text
