"""Rows of a file as bars and ticks, each judged by itself and by those before it. Pure."""

import math
import re
from typing import Final

from core.market.bar import Bar, within
from core.market.errors import SymbolError
from core.market.symbol import Symbol, make_symbol, parse_symbol
from core.market.tick import LEAST_AMOUNT, MOST_AMOUNT, NO_ID, Side, Tick, plain_float
from core.market.timeframe import MINUTE_NS, Timeframe
from gateway.http.times import parse_time_ns
from ingest.admission import EARLIEST_NS
from tickgate.files.columns import Values, rfc3339

BAR_COLUMNS: Final = (
    "symbol", "timeframe", "time", "start_ns", "start", "open", "high", "low", "close", "volume",
    "trades", "vwap",
)  # fmt: skip
BAR_REQUIRED: Final = ("symbol", "open", "high", "low", "close", "volume", "trades", "vwap")
TICK_COLUMNS: Final = ("symbol", "trade_id", "event_ns", "side", "price", "size", "seq")
TICK_REQUIRED: Final = TICK_COLUMNS[:-1]

_MAX_INT64: Final = 2**63 - 1
_MAX_TRADES: Final = 10**15  # of a minute: those of a day's minutes add up to 64 bits
_SLACK: Final = 1e-3  # a vendor's average is rounded, and may lie beyond the prices for that
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL, "": Side.UNKNOWN, "unknown": Side.UNKNOWN}
_MAX_SYMBOLS: Final = 50_000


class Names:
    """Symbols as files spell them: with their venue, or without where one is given."""

    def __init__(self, venue: str) -> None:
        """*venue* is that of symbols that name none; empty: there must be none such."""
        self._venue = venue
        self._known: dict[str, Symbol] = {}

    def read(self, value: object) -> Symbol:
        """The symbol of a cell.

        Raises:
            ValueError: it is none, or names no venue.
        """
        text = str(value) if value is not None else ""
        symbol = self._known.get(text)
        if symbol is not None:
            return symbol
        if ":" not in text and not self._venue:
            raise ValueError(f"symbol {text[:40]!r} names no venue: say which by --venue")
        try:
            symbol = parse_symbol(text) if ":" in text else make_symbol(self._venue, text)
        except SymbolError as exc:
            raise ValueError(str(exc)) from exc
        if len(self._known) >= _MAX_SYMBOLS:
            raise ValueError(f"more than {_MAX_SYMBOLS} symbols in one file")
        self._known[text] = symbol
        return symbol


class BarReader:
    """Reads the rows of one file of 1-minute bars."""

    def __init__(self, names: Names, *, until_ns: int) -> None:
        """*until_ns*: a window that ends after it may still get trades."""
        self._names, self._until_ns = names, until_ns
        self._newest: dict[Symbol, int] = {}

    def read(self, values: Values) -> Bar:
        """The bar of a row.

        Raises:
            ValueError: it is none that can be stored; says which value, and what is accepted.
        """
        _refuse_ragged(values)
        symbol = self._names.read(values.get("symbol"))
        timeframe = values.get("timeframe")
        if timeframe not in (None, Timeframe.MIN_1.value):
            raise ValueError(
                f"timeframe {timeframe!r}: expected 1Min, as longer bars are made from those"
            )
        start_ns = self._start(values)
        high, low = _positive(values, "high"), _positive(values, "low")
        bar = Bar(
            symbol=symbol,
            timeframe=Timeframe.MIN_1,
            start_ns=start_ns,
            open=_positive(values, "open"),
            high=high,
            low=low,
            close=_positive(values, "close"),
            volume=_positive(values, "volume"),
            trades=_count(values, "trades", _MAX_TRADES),
            vwap=within(_positive(values, "vwap"), low, high),
        )
        _check_prices(bar)
        before_ns = self._newest.get(symbol, -1)
        if start_ns <= before_ns:
            raise ValueError(
                f"{symbol} at {rfc3339(start_ns)} comes after {rfc3339(before_ns)}: expected each "
                "window once, those of a symbol in order of time"
            )
        self._newest[symbol] = start_ns
        return bar

    def _start(self, values: Values) -> int:
        time, start = values.get("time"), values.get("start_ns")
        if time is None and start is None:
            time = values.get("start")  # as frames of the Python client name it
            if time is None:
                raise ValueError("neither time nor start_ns nor start: expected one of them")
        of_time = None if time is None else _time(time)
        start_ns = of_time if start is None else _whole(values, "start_ns", 0, _MAX_INT64)
        assert start_ns is not None
        if of_time not in (None, start_ns):
            raise ValueError(f"time {time} and start_ns {start} are not the same moment")
        if start_ns < EARLIEST_NS:
            raise ValueError(
                f"{rfc3339(start_ns)}: expected a time from 1990 on (a number is of nanoseconds "
                "since 1970)"
            )
        if start_ns % MINUTE_NS:
            raise ValueError(f"{rfc3339(start_ns)}: expected the start of a minute")
        if start_ns + MINUTE_NS > self._until_ns:
            raise ValueError(
                f"{rfc3339(start_ns)}: its trades may still come; expected windows that end by "
                f"{rfc3339(self._until_ns // MINUTE_NS * MINUTE_NS)}"
            )
        return start_ns


class TickReader:
    """Reads the rows of one file of ticks."""

    def __init__(self, names: Names, *, until_ns: int) -> None:
        """*until_ns*: the present."""
        self._names, self._until_ns = names, until_ns

    def read(self, values: Values) -> Tick:
        """The tick of a row.

        Raises:
            ValueError: it is none that can be counted; says which value, and what is accepted.
        """
        _refuse_ragged(values)
        if values.get("trade_id") is None:
            raise ValueError(_NO_ID)
        trade_id = _whole(values, "trade_id", NO_ID + 1, _MAX_INT64)
        seq = trade_id
        if values.get("seq") is not None:
            seq = _whole(values, "seq", NO_ID, _MAX_INT64)
        side = _SIDES.get(str(values.get("side") or "").lower())
        if side is None:
            raise ValueError(f"side {values.get('side')!r}: expected buy, sell or nothing")
        tick = Tick(
            self._names.read(values.get("symbol")),
            trade_id,
            _positive(values, "price"),
            _positive(values, "size"),
            _whole(values, "event_ns", NO_ID, _MAX_INT64),
            side,
            seq,
        )
        return self.judge(tick)

    def judge(self, tick: Tick) -> Tick:
        """*tick*, if it can be counted.

        Raises:
            ValueError: it cannot.
        """
        if tick.trade_id == NO_ID:
            raise ValueError(_NO_ID)
        for name in ("price", "size"):
            if not LEAST_AMOUNT <= getattr(tick, name) <= MOST_AMOUNT:
                raise ValueError(
                    f"{name} {getattr(tick, name)!r}: expected a number above 0, from "
                    f"{LEAST_AMOUNT:g} to {MOST_AMOUNT:g}"
                )
        if not EARLIEST_NS <= tick.event_ns <= self._until_ns:
            raise ValueError(
                f"event_ns {tick.event_ns}: expected nanoseconds since 1970, from 1990 to now"
            )
        return tick


_NO_ID: Final = (
    "there is no trade_id: without one a second import would count the trade twice (a replay "
    "takes such rows)"
)


def _refuse_ragged(values: Values) -> None:
    if "" in values:
        raise ValueError(str(values[""]))


def _check_prices(bar: Bar) -> None:
    if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
        raise ValueError(
            f"open {bar.open}, high {bar.high}, low {bar.low}, close {bar.close}: expected open "
            "and close from low to high"
        )
    if not bar.low * (1 - _SLACK) <= bar.vwap <= bar.high * (1 + _SLACK):
        raise ValueError(f"vwap {bar.vwap}: expected from low {bar.low} to high {bar.high}")
    if not bar.vwap * bar.volume < 1e290:
        raise ValueError(f"volume {bar.volume}: with these prices it is beyond what can be summed")


def _positive(values: Values, name: str) -> float:
    value = values.get(name)
    try:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            number = plain_float(value)
            if 0 < number < math.inf:
                return number
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} {_shown(value)}: expected a number above 0")


def _whole(values: Values, name: str, least: int, most: int) -> int:
    value = values.get(name)
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        number = int(value)
    if number is None or not least <= number <= most:
        expected = "of 64 bits" if most == _MAX_INT64 else f"{least} to {most}"
        raise ValueError(f"{name} {_shown(value)}: expected a whole number, {expected}")
    return number


def _count(values: Values, name: str, most: int) -> int:
    """A whole number, be it written as a float: so pandas has a column that had a hole once."""
    value = values.get(name)
    if isinstance(value, str) and re.fullmatch(r"[0-9]+[.]0*", value):
        value = value.partition(".")[0]
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    return _whole({name: value}, name, 1, most)


def _time(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return parse_time_ns(str(value))
    except ValueError as exc:
        raise ValueError(
            f"time {_shown(value)}: expected one such as 2024-03-12T10:37:00Z: {exc}"
        ) from exc


def _shown(value: object) -> str:
    return "is empty" if value is None else repr(value)[:40]
