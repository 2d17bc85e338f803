"""What the gateway knows of the market: symbols, last trades, the newest bars. Pure, no I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import Final

import numpy as np

from core.market.bar import Bar
from core.market.block import BlockMeta, Row, Ticks
from core.market.errors import SymbolError
from core.market.notice import Cancel, Gap, Notice
from core.market.symbol import Symbol, SymbolDirectory, only_one
from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.day_book import DayBook
from gateway.runs import newest

DEFAULT_MAX_SYMBOLS: Final = 100_000  # about 100 MB of last values; the largest venues list 20,000

_MANY_TICKS, _MANY_BLOCKS = 8_000, 200
"""Not looked at yet, about half a megabyte: who asks waits for a millisecond, not for ten as with
2,000 blocks, and all of them cost the same but for a tenth or two."""

_SIDES: Final = tuple(Side)
_OPEN_KEPT: Final = 64
"""Open windows kept of a symbol and timeframe; as many are open as end within the grace, about."""

_NEVER: Final[Row] = (0, -(2**63), -(2**63), 0, 0.0, 0.0, 0)


@dataclass(slots=True)
class FeedNews:
    """What the streams told of one feed since this process reads them."""

    ticks: int = 0  # read, those from just before the start included
    newest_event_ns: int | None = None  # of these
    begun: bool = False  # has it had a tick, ever?
    ended: bool = False  # has it said that it has no more?

    def take(self, meta: BlockMeta, ticks: int, newest_ns: int | None) -> None:
        """Take in a block of *ticks*, the newest of *newest_ns*; a feed may begin anew."""
        self.begun = self.begun or ticks > 0 or meta.feed_time_ns > 0
        if newest_ns is not None:
            self.ticks += ticks
            if self.newest_event_ns is None or newest_ns > self.newest_event_ns:
                self.newest_event_ns = newest_ns
            self.ended = False
        self.ended = self.ended or meta.end


class NotAStock(SymbolError):
    """A name of something else, where there are stocks only."""

    def __init__(self, text: str, symbol: Symbol) -> None:
        venue = symbol.partition(":")[0]
        super().__init__(text, f"{symbol} is no stock: no feed declares {venue} with class=stock")


class MarketState:
    """The newest values per symbol, as the streams told. One task owns it: the gateway's reader.

    Bounded by *max_symbols*: past it a new symbol is not taken in, and ``refused_symbols`` counts
    the attempts. ``complete`` once the stored symbols were taken in, not only streamed ones. Ticks
    are looked at when somebody asks for what they tell, or when there are some thousand: many at
    once cost a fifth.
    """

    def __init__(self, *, max_symbols: int = DEFAULT_MAX_SYMBOLS) -> None:
        self.refused_symbols = 0
        self.complete = False
        self.open_asked = 0
        """Grows when it is not known which windows are open: the aggregator tells when that is
        reported."""
        self.bars_told = 0
        self.directory = 0
        """Stands for the carried symbols, and which are stocks: the same number, the same ones, in
        any process."""
        self.revoked: dict[Symbol, int] = {}
        """Symbols whose last trade was cancelled, and its id: which one is the last now?"""
        self._max_symbols = max_symbols
        self._directory = SymbolDirectory()
        self._plain_names: dict[tuple[Symbol, bool], str] = {}  # what star_name said
        self._venues: Mapping[str, bool] = {}  # with whether a feed declares them to be of stocks
        self._last: dict[Symbol, Row] = {}
        self._unread: list[Ticks] = []  # whose ticks are not in _last yet
        self._unread_ticks = 0
        self._open: dict[tuple[Symbol, Timeframe], dict[int, Bar]] = {}  # by start
        self._closed: dict[tuple[Symbol, Timeframe], Bar] = {}
        self._unexplained: set[Symbol] = set()  # with closed bars not held against the last trade
        self._revisions: dict[Symbol, int] = {}
        self._feeds: dict[str, FeedNews] = {}
        self.days = DayBook()
        """Days of symbols that somebody asked for."""

    def resolve(
        self, text: str, *, stocks: bool = False, permits: Callable[[Symbol], bool] | None = None
    ) -> Symbol | None:
        """The carried symbol that *text* names, or None for a well-formed one nobody carries yet.

        With *stocks* only stocks count, and a symbol whose venue no feed has declared waits. With
        *permits* only what it lets by, where there is such a symbol: nothing is told of others.

        Raises:
            SymbolError: *text* is ill-formed, or a bare name that several venues carry.
            NotAStock: it names something else, and is to name a stock.
        """
        choices = self._directory.choices(text)
        if permits is not None and choices:
            permitted = list(filter(permits, choices))
            if not permitted:
                return choices[0]  # not to be told of: the caller says so
            choices = permitted
        if not stocks:
            return only_one(text, choices)
        found = only_one(text, [symbol for symbol in choices if self.is_stock(symbol)])
        if found is None and choices and all(_venue(symbol) in self._venues for symbol in choices):
            raise NotAStock(text, choices[0])
        return found

    def declare(self, venues: Mapping[str, bool]) -> list[Symbol]:
        """The feeds are of *venues*, each with whether it is one of stocks; symbols of new ones."""
        news = {venue for venue, is_stock in venues.items() if is_stock and not self._of(venue)}
        self.directory ^= _mark(sorted(self._venues.items())) ^ _mark(sorted(venues.items()))
        self._venues = dict(venues)
        self._plain_names.clear()
        found = [symbol for symbol in self.symbols() if _venue(symbol) in news] if news else []
        self.days.forget(found)  # of a stock the day before is another one
        return found

    def carries(self, symbol: Symbol) -> bool:
        """Is it among those that were taken in?"""
        return symbol in self._directory

    def is_stock(self, symbol: Symbol) -> bool:
        """Does a feed declare its venue to be one of stocks?"""
        return self._of(_venue(symbol))

    def _of(self, venue: str) -> bool:
        return self._venues.get(venue, False)

    def star_name(self, symbol: Symbol, *, plain: bool, stocks: bool) -> str:
        """How ``*`` tells *symbol*: in full, or *plain*, ``AAPL`` and ``BTC/USD``.

        It is in full as well where that name could be another one's; with *stocks* only stocks
        count.
        """
        if not plain:
            return symbol
        name = self._plain_names.get((symbol, stocks))
        if name is None:
            name = self._plain_names[symbol, stocks] = self._plain_name(symbol, stocks=stocks)
        return name

    def _plain_name(self, symbol: Symbol, *, stocks: bool) -> str:
        ticker = symbol.partition(":")[2]
        choices = self._directory.choices(ticker)
        if [one for one in choices if not stocks or self.is_stock(one)] != [symbol]:
            return symbol
        return ticker if self.is_stock(symbol) else ticker.replace("-", "/", 1)

    def symbols(self) -> list[Symbol]:
        """All carried symbols, sorted."""
        return self._directory.symbols()

    def last_trade(self, symbol: Symbol) -> Tick | None:
        """The newest trade by (event time, seq, arrival); None before the first."""
        self._read()
        row = self._last.get(symbol, _NEVER)
        if row is _NEVER or self._is_revoked(symbol, row):
            return None
        _, event_ns, seq, trade_id, price, size, side = row
        return Tick(symbol, trade_id, price, size, event_ns, _SIDES[side], seq)

    def running_bar(self, symbol: Symbol, timeframe: Timeframe) -> Bar | None:
        """The bar of the newest open window, or None once its closed form was seen."""
        bars = self.open_bars(symbol, timeframe)
        return bars[-1] if bars else None

    def open_bars(self, symbol: Symbol, timeframe: Timeframe) -> list[Bar]:
        """The bars of all open windows by time: one that is over stays open for the grace."""
        bars = self._open.get((symbol, timeframe), {})
        if len(bars) < 2:  # as nearly always
            return list(bars.values())
        return [bars[start_ns] for start_ns in sorted(bars)]

    def closed_bar(self, symbol: Symbol, timeframe: Timeframe) -> Bar | None:
        """The newest closed bar seen on the streams since the start, in its newest revision.

        None as well when there is no trade in it any more.
        """
        bar = self._closed.get((symbol, timeframe))
        return bar if bar is not None and bar.trades else None

    def held(self, symbol: Symbol, timeframe: Timeframe) -> tuple[Bar | None, ...]:
        """The newest closed bar seen, and those of open windows, by time: the latter are newer."""
        closed, still_open = self.closed_bar(symbol, timeframe), self._open.get((symbol, timeframe))
        if still_open is None or len(still_open) > 1:
            return closed, *self.open_bars(symbol, timeframe)
        return closed, *still_open.values()

    def revisions(self, symbol: Symbol) -> int:
        """Grows with each closed bar of *symbol* that was changed: what was stored is old then."""
        return self._revisions.get(symbol, 0)

    def feed_times_ns(self) -> dict[str, int]:
        """The newest event time per feed, a copy."""
        times_ns = ((feed, news.newest_event_ns) for feed, news in self._feeds.items())
        return {feed: time_ns for feed, time_ns in times_ns if time_ns is not None}

    def feeds(self) -> Mapping[str, FeedNews]:
        """The feeds of which a block was read, an empty one at least; a live view."""
        return self._feeds

    def add_symbols(self, symbols: Iterable[Symbol]) -> list[Symbol]:
        """Take in carried symbols; those that are new, for the hub to bind waiting names to."""
        return [symbol for symbol in symbols if symbol not in self._last and self._add(symbol)]

    def apply_trade(self, tick: Tick) -> list[Symbol]:
        """Take in one trade, such as a stored last trade; its symbol when that is new."""
        new = self.add_symbols((tick.symbol,))
        self._read()
        row = (0, tick.event_ns, tick.seq, tick.trade_id, tick.price, tick.size, int(tick.side))
        self._keep_newer(tick.symbol, row)
        return new

    def apply_blocks(
        self, blocks: Sequence[tuple[str, BlockMeta, int]], ticks: Ticks
    ) -> list[Symbol]:
        """Take in *ticks* of *blocks*, each with its feed and its number of them; new symbols."""
        new = self.add_symbols(ticks.symbols)
        starts = [0, *accumulate(count for _, _, count in blocks if count)][:-1]
        newest_ns = iter(np.maximum.reduceat(ticks.event_ns, starts).tolist() if starts else ())
        for feed, meta, count in blocks:
            news = self._feeds.get(feed) or self._feeds.setdefault(feed, FeedNews())
            news.take(meta, count, next(newest_ns) if count else None)
        self._unread.append(ticks)
        self._unread_ticks += len(ticks)
        if self._unread_ticks > _MANY_TICKS or len(self._unread) > _MANY_BLOCKS:
            self._read()
        return new

    def apply_notices(self, notices: Sequence[Notice]) -> list[Symbol]:
        """Take in what is said of trades that were taken in before; new symbols.

        A corrected last trade is replaced. One that was cancelled leaves none until another comes:
        see :attr:`revoked`.
        """
        new = self.add_symbols(notice.symbol for notice in notices)
        for notice in notices:
            self._read()
            row = self._last.get(notice.symbol, _NEVER)
            if isinstance(notice, Gap) or row is _NEVER or row[3] != notice.trade_id:
                continue
            if isinstance(notice, Cancel):
                self.revoked[notice.symbol] = notice.trade_id
                self.days.forget((notice.symbol,))  # its day may be another one
            else:
                as_row = (notice.new_id, notice.new_price, notice.new_size)
                self._last[notice.symbol] = (*row[:3], *as_row, row[6])
        return new

    def untold(self) -> dict[Symbol, tuple[int, int]]:
        """Symbols whose newest closed minute has trades that no stream told, as imports do.

        Each with start and revision of that minute, which stand for what is not known.
        """
        self._read()
        minutes = (self._closed.get((symbol, Timeframe.MIN_1)) for symbol in self._unexplained)
        bars = [bar for bar in minutes if bar is not None and self._misses(bar)]
        untold = {bar.symbol: (bar.start_ns, bar.rev) for bar in bars}
        self._unexplained = set(untold)
        return untold

    def _misses(self, bar: Bar) -> bool:
        """Is the last trade older than *bar*, or in it, but another than its close?"""
        row = self._last[bar.symbol]
        if not bar.trades or self._is_revoked(bar.symbol, row):
            return False
        event_ns, price = row[1], row[4]
        end_ns = bar.start_ns + bar.timeframe.ns
        return event_ns < bar.start_ns or (event_ns < end_ns and price != bar.close)

    def recall(self, tick: Tick) -> None:
        """*tick* is the newest trade now that its symbol's last one was cancelled."""
        row = self._last.get(tick.symbol, _NEVER)
        if self._is_revoked(tick.symbol, row) and tick.trade_id != row[3]:
            del self.revoked[tick.symbol]
            self._last[tick.symbol] = _NEVER
            self.apply_trade(tick)

    def _is_revoked(self, symbol: Symbol, row: Row) -> bool:
        if symbol in self.revoked and self.revoked[symbol] != row[3]:
            del self.revoked[symbol]  # a newer trade came
        return symbol in self.revoked

    def knows(self, bar: Bar) -> bool:
        """Is this the running bar that is held of its window? They are told again to others."""
        held = self._open.get((bar.symbol, bar.timeframe))
        return held is not None and held.get(bar.start_ns) == bar

    def apply_bar(self, bar: Bar) -> list[Symbol]:
        """Take in a running or closed bar; its symbol when that is new."""
        self.bars_told += 1
        new = self.add_symbols((bar.symbol,))
        if bar.symbol not in self._last:
            return new
        key = (bar.symbol, bar.timeframe)
        closed = self._closed.get(key)
        if not bar.final:
            if closed is None or bar.start_ns > closed.start_ns:
                self._keep_open(key, bar)
            return new
        self.days.take(bar)
        self._unexplained.add(bar.symbol)
        if bar.rev:
            self._revisions[bar.symbol] = self._revisions.get(bar.symbol, 0) + 1
        if closed is None or (bar.start_ns, bar.rev) >= (closed.start_ns, closed.rev):
            self._closed[key] = bar
        running = self._open.get(key, {})
        for start_ns in [start_ns for start_ns in running if start_ns <= bar.start_ns]:
            del running[start_ns]
        return new

    def ask_open(self) -> None:
        """Which windows are open is not known (any more); what is told from now on will be."""
        self._open.clear()
        self.open_asked += 1

    def _keep_open(self, key: tuple[Symbol, Timeframe], bar: Bar) -> None:
        running = self._open.setdefault(key, {})
        running[bar.start_ns] = bar
        if not bar.trades:  # all of them were cancelled
            del running[bar.start_ns]
        elif len(running) > _OPEN_KEPT:
            del running[min(running)]

    def _add(self, symbol: Symbol) -> bool:
        if len(self._last) >= self._max_symbols:
            self.refused_symbols += 1
            return False
        self._last[symbol] = _NEVER
        self._plain_names.clear()
        self.directory ^= _mark(symbol)
        return self._directory.add(symbol)

    def _read(self) -> None:
        if self._unread:
            blocks, self._unread, self._unread_ticks = self._unread, [], 0
            for symbol, row in newest(blocks).items():
                self._keep_newer(symbol, row)

    def _keep_newer(self, symbol: Symbol, row: Row) -> None:
        """Keep *row*, which came after what is held, unless it is older or refused."""
        held = self._last.get(symbol)
        if held is not None and (row[1], row[2]) >= (held[1], held[2]):
            self._last[symbol] = row


def _venue(symbol: Symbol) -> str:
    return symbol.partition(":")[0]


def _mark(what: object) -> int:
    return int.from_bytes(blake2b(str(what).encode(), digest_size=8).digest())
