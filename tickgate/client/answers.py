"""Answers of the HTTP API as messages. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from tickgate.client.messages import Bar, RunningBar, Trade
from tickgate.client.times import from_text

_DAY = "1Day"
_MINUTE = "1Min"


class BarFields(msgspec.Struct):
    """A bar as ``/v1/bars`` has it; ``dailyBar`` leaves out what is not known of a day."""

    t: str
    o: float
    h: float
    l: float  # noqa: E741  the published name
    c: float
    v: float
    n: int
    vw: float
    rev: int = 0
    final: bool = True
    gap: bool = False


class TradeFields(msgspec.Struct):
    """A trade as ``/v1/trades`` has it."""

    t: str
    p: float
    s: float
    i: int | None = None
    tks: str | None = None


class BarsPage(msgspec.Struct):
    """A page of ``/v1/bars``."""

    bars: dict[str, list[BarFields]]
    next_page_token: str | None = None

    @property
    def count(self) -> int:
        """Bars in it."""
        return sum(map(len, self.bars.values()))


class TradesPage(msgspec.Struct):
    """A page of ``/v1/trades``; ``missing`` says of which symbols the log has not all."""

    trades: dict[str, list[TradeFields]]
    next_page_token: str | None = None
    missing: dict[str, str] = {}

    @property
    def count(self) -> int:
        """Trades in it."""
        return sum(map(len, self.trades.values()))


class BarsAnswer(msgspec.Struct):
    """``/v1/bars/latest``."""

    bars: dict[str, BarFields]


class TradesAnswer(msgspec.Struct):
    """``/v1/trades/latest``."""

    trades: dict[str, TradeFields]


class _SnapshotFields(msgspec.Struct, rename="camel"):
    latest_trade: TradeFields | None = None
    minute_bar: BarFields | None = None
    daily_bar: BarFields | None = None
    prev_daily_bar: BarFields | None = None


class SnapshotsAnswer(msgspec.Struct):
    """``/v1/snapshots``."""

    snapshots: dict[str, _SnapshotFields | None]


class _SymbolFields(msgspec.Struct):
    symbol: str
    venue: str
    ticker: str
    last_trade: TradeFields | None = None


class SymbolsAnswer(msgspec.Struct):
    """``/v1/symbols``."""

    symbols: list[_SymbolFields]


class Snapshot(msgspec.Struct, frozen=True):
    """What is newest of a symbol, None where there is none; days are those of UTC.

    ``minute_bar`` is the newest 1-minute bar, running or closed.
    """

    symbol: str
    latest_trade: Trade | None = None
    minute_bar: Bar | None = None
    daily_bar: Bar | None = None
    prev_daily_bar: Bar | None = None


class SymbolInfo(msgspec.Struct, frozen=True):
    """A symbol that a venue carries."""

    symbol: str
    venue: str
    ticker: str
    last_trade: Trade | None = None


def read_bars(bars: Mapping[str, list[BarFields]], timeframe: str) -> Iterator[Bar]:
    """The bars of every symbol, one after the other."""
    return (_bar(symbol, row, timeframe) for symbol, rows in bars.items() for row in rows)


def read_trades(trades: Mapping[str, list[TradeFields]]) -> Iterator[Trade]:
    """The trades of every symbol, one after the other."""
    return (_trade(symbol, row) for symbol, rows in trades.items() for row in rows)


def read_snapshots(answer: SnapshotsAnswer) -> dict[str, Snapshot]:
    """By the spelling of the request."""
    found = {}
    for symbol, fields in answer.snapshots.items():
        given = fields or _SnapshotFields()
        found[symbol] = Snapshot(
            symbol,
            _trade_or_none(symbol, given.latest_trade),
            _bar_or_none(symbol, given.minute_bar, _MINUTE),
            _bar_or_none(symbol, given.daily_bar, _DAY),
            _bar_or_none(symbol, given.prev_daily_bar, _DAY),
        )
    return found


def read_symbols(answer: SymbolsAnswer) -> list[SymbolInfo]:
    """In the order of the answer, by name."""
    return [
        SymbolInfo(
            fields.symbol,
            fields.venue,
            fields.ticker,
            _trade_or_none(fields.symbol, fields.last_trade),
        )
        for fields in answer.symbols
    ]


def _trade(symbol: str, row: TradeFields) -> Trade:
    return Trade(symbol, row.p, row.s, from_text(row.t), row.i, row.tks)


def _bar(symbol: str, row: BarFields, timeframe: str) -> Bar:
    kind = Bar if row.final else RunningBar
    return kind(
        *(symbol, timeframe, from_text(row.t), row.o, row.h, row.l, row.c, row.v),
        *(row.n, row.vw, row.rev, row.final, row.gap),
    )


def _trade_or_none(symbol: str, row: TradeFields | None) -> Trade | None:
    return None if row is None else _trade(symbol, row)


def _bar_or_none(symbol: str, row: BarFields | None, timeframe: str) -> Bar | None:
    return None if row is None else _bar(symbol, row, timeframe)
