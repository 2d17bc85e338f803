"""What `tickgate watch` knows of each symbol: folds the stream's messages. Pure."""

from typing import Final

import msgspec

from tickgate.client import Bar, Message, RunningBar, Stale, Trade, UpdatedBar
from tickgate.client.times import ns_to_text

_FIELDS: Final = ("open", "high", "low", "close", "volume", "trades")
COLUMNS: Final = ("symbol", "last", "change", *_FIELDS, "delay")
_LEFT_OUT: Final = ("volume", "low", "high", "open", "trades", "close", "delay")
"""Columns that a narrow terminal does without, the first of them first."""

_BORDER: Final = 1  # a table's last line; each column has one of its own, and a blank on each side
_MARKS: Final = {1: "▲", -1: "▼", 0: " "}


class Line(msgspec.Struct):
    """One symbol's newest values; None where nothing is known yet."""

    symbol: str
    last: float | None = None
    size: float | None = None
    move: int = 0  # of the last trade against the one before: 1, 0, -1
    reference: float | None = None  # open of the day, for the change
    bar: Bar | None = None  # the newest 1-minute bar, running or closed
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
        self._widths = {name: len(name) for name in COLUMNS}

    def apply(self, message: Message, now_ms: float) -> str | None:
        """Take in one message of the stream; returns a line of text for a pipe, if it makes one."""
        if not isinstance(message, Trade | Bar):
            return None
        line = self.lines.setdefault(message.symbol, Line(message.symbol))
        if isinstance(message, Trade):
            return self._trade(line, message, now_ms)
        if line.bar is None or message.start_ns >= line.bar.start_ns:
            line.bar = message
        return None if isinstance(message, RunningBar) else bar_text(message)

    def table(self, width: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The columns that fit into *width* characters, and the lines' texts in them, uncut.

        Symbol, last price and change are always there. A column counts as wide as its widest text
        so far, so that none comes and goes with every trade.
        """
        lines = [dict(zip(COLUMNS, cells(line), strict=True)) for line in self.lines.values()]
        for line in lines:
            for name, text in line.items():
                self._widths[name] = max(self._widths[name], len(text))
        shown = fitting(self._widths, width)
        return shown, [tuple(line[name] for name in shown) for line in lines]

    def hear(self, news: Stale) -> str:
        """Take in that a feed is silent, or no longer is; that in words."""
        feed = news.feed
        if news.stale:
            self.stale[feed] = f"{feed} is stale: no trade since {_text(news.since_ns)}"
            return self.stale[feed]
        self.stale.pop(feed, None)
        return f"{feed} has ended" if news.ended else f"{feed} has trades again"

    def refer(self, symbol: str, reference: float) -> None:
        """Changes are against *reference* from now on."""
        if symbol in self.lines:
            self.lines[symbol].reference = reference

    def _trade(self, line: Line, trade: Trade, now_ms: float) -> str:
        price = trade.price
        if line.last is not None and price != line.last:
            line.move = 1 if price > line.last else -1
        line.last, line.size, line.trades = price, trade.size, line.trades + 1
        line.latency_ms = now_ms - trade.time_ns / 1e6
        at, side = _text(trade.time_ns), trade.taker or "-"
        return f"{line.symbol} trade {at} {price!r} {trade.size!r} {side}"


def fitting(widths: dict[str, int], width: int) -> tuple[str, ...]:
    """Those columns of *widths* that fit into a table of *width* characters."""
    shown = dict(widths)
    for name in _LEFT_OUT:
        if sum(shown.values()) + 3 * len(shown) + _BORDER <= width:
            break
        del shown[name]
    return tuple(shown)


def bar_text(bar: Bar) -> str:
    """A closed or revised bar as one line."""
    word = "revised" if isinstance(bar, UpdatedBar) else "bar"
    fields = " ".join(repr(getattr(bar, name)) for name in _FIELDS)
    return f"{bar.symbol} {word} {_text(bar.start_ns)} {fields}"


def _text(time_ns: int) -> str:
    """As the stream writes times: with as many digits of fraction as it takes."""
    return ns_to_text(time_ns)[:-1].rstrip("0").rstrip(".") + "Z"


def cells(line: Line) -> tuple[str, ...]:
    """The texts of a table row: symbol, last, change, o, h, l, c, volume, trades, latency."""
    bar = line.bar
    change = line.change_percent
    return (
        line.symbol,
        f"{_MARKS[line.move]} {number(line.last)}",
        "-" if change is None else f"{change:+.2f} %",
        *(number(getattr(bar, name, None)) for name in _FIELDS),
        "-" if line.latency_ms is None else f"{line.latency_ms:.0f} ms",
    )


def number(value: float | None) -> str:
    """Up to eight significant digits, no exponent for prices as they occur."""
    if value is None:
        return "-"
    text = f"{value:.8g}"
    return f"{value:.10f}".rstrip("0") if "e-" in text else text
