"""The bars of one shard: folds ticks, closes windows by watermark, revises closed ones. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from aggregator.folded import kept_of
from aggregator.gaps import Span, SymbolGaps, lost_blocks, venue_of
from aggregator.running import running_bars
from aggregator.segments import Segments, are_worth_while
from aggregator.symbols import PARENTS, SymbolState, note_last
from aggregator.wanted import Deferred, Wanted, wanted_for
from aggregator.window import Window
from core.market.bar import Bar, BarRow
from core.market.block import Row, Ticks
from core.market.notice import Gap
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from core.market.trade_ids import TradeIds

KEEP_CLOSED_NS: Final = 2 * MINUTE_NS
"""Closed windows stay in memory this long, so that the usual late tick needs no database."""

_BEFORE_TIME: Final = -(2**63)
_MINUTE: Final = Timeframe.MIN_1

DueKey = tuple[int, int, Symbol, int]  # end_ns, minutes, symbol, start_ns: 1-minute windows first


class ShardCore:
    """Folds the blocks of one shard. One task owns it; no I/O, no clock.

    The caller folds a block, answers :meth:`wanted` by :meth:`supply` until nothing is wanted,
    then closes windows, takes a flush, and says when that was committed.
    """

    def __init__(self, *, keep_ids_ns: int) -> None:
        """*keep_ids_ns*: how long trade ids are known, in feed time."""
        self._keep_ids_ns = keep_ids_ns
        self.symbols: dict[Symbol, SymbolState] = {}
        self.duplicates = 0
        self.late = 0
        self.doubtful: list[Tick] = []  # too old to be told from repeats; taken by the caller
        self.amending: dict[Symbol, None] = {}  # with amendments that may concern trades to come
        self.dropped: list[Row] = []  # of the latest block: what was not folded
        self._due: dict[str, list[DueKey]] = {}
        self._deferred: list[Deferred] = []
        self._spans: list[Span] = []  # of gaps; their windows are to be marked, or no longer
        self._touched: dict[Window, None] = {}  # open, changed since the last running bars
        self._dirty: dict[Window, None] = {}  # closed, changed since the last flush
        self._closed: list[tuple[int, Window]] = []  # end_ns; swept by evict()
        self._watermark_ns = _BEFORE_TIME

    # -- folding

    def fold(self, feed: str, block: Ticks, *, seen_from_ns: int) -> None:
        """Take in the ticks of a block, or of several in a row.

        Args:
            feed: whose watermark closes the windows that these ticks touch.
            block: ticks in stream order.
            seen_from_ns: feed time of the block before it: its ticks were seen then or later.
        """
        self.dropped.clear()
        if not len(block):
            return
        states = [self._state(symbol) for symbol in block.symbols]
        newest_ns = int(block.event_ns.max())
        for state in states:
            state.ids.advance(seen_from_ns, newest_ns)
        if are_worth_while(block):
            self._fold_segments(feed, states, Segments(block))
        else:
            self._fold_noted(feed, states, block.rows())

    def fold_verified(self, feed: str, ticks: Ticks) -> None:
        """Take in ticks that were doubtful and are new, as the log says."""
        states = [self._state(symbol) for symbol in ticks.symbols]
        rows = ticks.rows()
        for index, _, _, trade_id, *_ in rows:
            states[index].ids.add(trade_id)
        self._fold_rows(feed, states, [(i, e, s, NO_ID, p, z, d) for i, e, s, _, p, z, d in rows])

    def heed(self, gap: Gap) -> None:
        """Mark the bars of windows that *gap* touches, or take the marks away; then supply."""
        state = self._state(gap.symbol)
        state.gaps = state.gaps or SymbolGaps()
        self._spans += [(gap.symbol, *times) for times in state.gaps.heed(gap)]

    def lose(self, feed: str, names: Iterable[Symbol], *, from_ns: int, to_ns: int) -> None:
        """Blocks of *feed* from between these feed times are gone; *names* are some it carries.

        Bars of all symbols of its venue are marked that were being traded then.
        """
        if to_ns == _BEFORE_TIME:
            return  # there was no tick yet
        carried = [
            state.symbol
            for state in self.symbols.values()
            if any(feed in window.feeds for window in state.windows.values())
        ]
        venues = {venue_of(symbol) for symbol in (*names, *carried)}
        for symbol in [symbol for symbol in self.symbols if venue_of(symbol) in venues]:
            self.heed(lost_blocks(symbol, to_ns if from_ns == _BEFORE_TIME else from_ns, to_ns))

    def wanted(self) -> Wanted | None:
        """What must be supplied before the next fold, or None."""
        if not self._deferred and not self._spans:
            return None
        return wanted_for(self.symbols, self._deferred, self._spans)

    def supply(self, wanted: Wanted, newest: Mapping[Symbol, int], rows: Iterable[BarRow]) -> None:
        """Answer :meth:`wanted`, and fold what waited.

        Args:
            wanted: the question, all of it answered here.
            newest: start of the newest stored 1-minute bar, for those symbols that have one.
            rows: those of the wanted windows that are stored.
        """
        for symbol in wanted.symbols:
            self.symbols[symbol].newest_ns = newest.get(symbol, _BEFORE_TIME)
        for row in rows:
            window = Window.from_row(row)
            window.flush = 0
            self.symbols[window.symbol].windows[window.timeframe, window.start_ns] = window
            self._closed.append((window.end_ns, window))
        for symbol, timeframe, start_ns in wanted.windows:
            state = self.symbols[symbol]
            if (timeframe, start_ns) not in state.windows:
                state.new_window(timeframe, start_ns)
        waiting, self._deferred = self._deferred, []
        for tick in waiting:
            state = self.symbols[tick.symbol]
            window = state.windows[_MINUTE, _MINUTE.floor_ns(tick.event_ns)]
            self._adopt(state, window)
            self._fold_marked(window, tick)
        spans, self._spans = self._spans, []
        for span in spans:
            self._mark(*span)

    def replace(self, symbol: Symbol, newest_ns: int, windows: Iterable[Window]) -> None:
        """Put *windows*, which were folded anew, in the place of those that are stored or here.

        A closed one goes out with the next flush, its ``rev`` one more than it says here. The
        parents of each minute must be in memory, or among them.

        Args:
            symbol: whose.
            newest_ns: start of the newest minute that ever was, as far as is stored.
            windows: parents too; one with ``rev`` 0 or more was published before.
        """
        state = self._state(symbol)
        state.newest_ns = max(
            newest_ns, _BEFORE_TIME if state.newest_ns is None else state.newest_ns
        )
        for window in windows:
            key = (window.timeframe, window.start_ns)
            old = state.windows.get(key)
            if old is not None:
                self._forget(state, old)
            elif window.rev < 0 and state.gaps is not None:
                window.gap = state.gaps.mark(window.start_ns, window.end_ns, marked=False)
            state.windows[key] = window
            if window.closed:
                self._closed.append((window.end_ns, window))
            (self._dirty if window.closed else self._touched)[window] = None
            if window.timeframe is _MINUTE:
                state.newest_ns = max(state.newest_ns, window.start_ns)

    def keep(self, windows: Iterable[Window]) -> None:
        """Have in memory what is stored, as :meth:`replace` asks for."""
        for window in windows:
            self.symbols[window.symbol].windows[window.timeframe, window.start_ns] = window
            self._closed.append((window.end_ns, window))

    def state_of(self, symbol: Symbol) -> SymbolState:
        """What is known of *symbol*, nothing if need be."""
        return self._state(symbol)

    def note_pending(self, symbol: Symbol) -> None:
        """The amendments that wait for trades of *symbol*, or the ids they gave, have changed."""
        state = self.symbols[symbol]
        if state.pending or state.given_ids:
            self.amending[symbol] = None
        else:
            self.amending.pop(symbol, None)

    def revise(self, window: Window) -> None:
        """*window*, in memory or as it is stored, was changed: it is published again."""
        windows = self.symbols[window.symbol].windows
        if (window.timeframe, window.start_ns) not in windows:
            windows[window.timeframe, window.start_ns] = window
            self._closed.append((window.end_ns, window))
        (self._dirty if window.closed else self._touched)[window] = None

    # -- closing, publishing

    def close_due(self, feed: str, watermark_ns: int) -> None:
        """Close every window of *feed* that ends at or before *watermark_ns*, oldest first."""
        self._watermark_ns = max(self._watermark_ns, watermark_ns)
        heap = self._due.get(feed)
        while heap and heap[0][0] <= watermark_ns:
            _, minutes, symbol, start_ns = heappop(heap)
            state = self.symbols[symbol]
            timeframe = _MINUTE if minutes == 1 else PARENTS[minutes == 15]
            window = state.windows.get((timeframe, start_ns))
            if window is None or window.closed:
                continue
            window.closed = True
            self._closed.append((window.end_ns, window))
            if window.trades or window.rev >= 0:  # else all its ticks were cancelled in time
                self._dirty[window] = None
            self._touched.pop(window, None)
            if timeframe is _MINUTE and window.trades:
                for parent in state.parents(start_ns):
                    parent.merge(window)
                    if parent.closed:
                        self._dirty[parent] = None

    @property
    def dirty(self) -> int:
        """How many closed or revised bars wait for a flush."""
        return len(self._dirty)

    def take_rows(self, flush: int) -> list[BarRow]:
        """The bars that closed or were revised since the last flush, oldest first.

        *flush* numbers the flush that takes them; see :meth:`evict`.
        """
        rows = []
        for window in sorted(self._dirty, key=lambda w: (w.end_ns, w.start_ns, w.symbol)):
            window.rev += 1
            window.flush = flush
            rows.append(window.row())
        self._dirty.clear()
        return rows

    def take_last_trades(self) -> list[Tick]:
        """The newest trade of each symbol that traded since the last call."""
        ticks = []
        for state in self.symbols.values():
            if state.last_dirty and state.last is not None:
                event_ns, seq, trade_id, price, size, side = state.last
                side_of = Side(side)
                ticks.append(Tick(state.symbol, trade_id, price, size, event_ns, side_of, seq))
                state.last_dirty = False
        return ticks

    def take_running(self) -> list[Bar]:
        """The open bars that changed since the last call, with all three timeframes of each."""
        bars = running_bars(self.symbols, self._touched)
        self._touched.clear()
        return bars

    def touch(self, bars: Iterable[Bar]) -> None:
        """*bars* were taken as running ones, and nobody has them: they are taken once more."""
        for bar in bars:
            state = self.symbols.get(bar.symbol)
            window = state.windows.get((bar.timeframe, bar.start_ns)) if state else None
            if window is not None and not window.closed:
                self._touched[window] = None

    def touch_open(self) -> None:
        """All open bars are taken as running ones once more: somebody new does not know them."""
        windows = (window for state in self.symbols.values() for window in state.windows.values())
        self._touched |= dict.fromkeys(w for w in windows if w.trades and not w.closed)

    def evict(self, committed: int) -> None:
        """Forget closed windows that are old and whose last flush, at most *committed*, is safe."""
        limit_ns = self._watermark_ns - KEEP_CLOSED_NS
        kept = []
        for end_ns, window in self._closed:
            state = self.symbols[window.symbol]
            if end_ns > limit_ns or window in self._dirty or window.flush > committed:
                kept.append((end_ns, window))
            elif not state.is_parent_needed(window):
                state.windows.pop((window.timeframe, window.start_ns), None)
                if state.minute is window:
                    state.minute = None
            else:
                kept.append((end_ns, window))
        self._closed = kept

    # -- checkpoint

    def restore(self, states: Iterable[SymbolState], windows: Iterable[Window]) -> None:
        """Go on from a checkpoint; each of *windows* names the feeds whose watermark closes it."""
        for state in states:
            self.symbols[state.symbol] = state
            self.note_pending(state.symbol)
        for window in windows:
            self.symbols[window.symbol].windows[window.timeframe, window.start_ns] = window
            if window.closed:
                self._closed.append((window.end_ns, window))
            elif window.trades:
                self._touched[window] = None
            for feed in window.feeds:
                self._push(feed, window)

    # -- inside

    def _fold_noted(self, feed: str, states: Sequence[SymbolState], rows: Sequence[Row]) -> None:
        """Fold, and keep the newest trades; what is dropped may have been cancelled long ago."""
        before = len(self.dropped)
        self._fold_rows(feed, states, rows)
        note_last(states, kept_of(rows, self.dropped[before:]))

    def _fold_rows(self, feed: str, states: Sequence[SymbolState], rows: Iterable[Row]) -> None:
        touched = self._touched
        for index, event_ns, seq, trade_id, price, size, side in rows:
            state = states[index]
            if trade_id != NO_ID and not state.is_new(trade_id, event_ns):
                tick = (index, event_ns, seq, trade_id, price, size, side)
                self._drop(state, tick)
                continue
            window = state.minute
            if window is None or not window.start_ns <= event_ns < window.end_ns:
                window = self._minute(state, event_ns)
            if window is None:
                self._deferred.append(Deferred(feed, state.symbol, event_ns, seq, price, size))
            elif window.closed or window.feed != feed:
                self._fold_marked(window, Deferred(feed, state.symbol, event_ns, seq, price, size))
            else:
                window.fold(event_ns, seq, price, size)
                touched[window] = None

    def _fold_segments(self, feed: str, states: Sequence[SymbolState], some: Segments) -> None:
        """Fold each segment in one step where it is of its symbol's latest window, and new."""
        for number, segment in enumerate(some):
            state = states[segment.symbol_index]
            window = state.minute
            if segment.run and (window is None or segment.open_ns >= window.end_ns):
                # Repeats, as one feed tells times later than another, shall not open a window.
                comes_new = state.come_after_all(segment.run)
                window = self._minute(state, segment.open_ns) if comes_new else None
            if (
                window is None
                or window.closed
                or segment.open_ns < window.start_ns
                or segment.close_ns >= window.end_ns
                or not state.are_new(segment)
            ):
                self._fold_noted(feed, states, some.rows(number))
            else:
                if window.feed != feed:
                    self._watch(feed, state, window)
                window.fold_segment(segment)
                self._touched[window] = None
                state.note_newest(segment)

    def _forget(self, state: SymbolState, window: Window) -> None:
        self._dirty.pop(window, None)
        self._touched.pop(window, None)
        self._closed = [(end_ns, kept) for end_ns, kept in self._closed if kept is not window]
        if state.minute is window:
            state.minute = None

    def _state(self, symbol: Symbol) -> SymbolState:
        state = self.symbols.get(symbol)
        if state is None:
            state = SymbolState(symbol, TradeIds(self._keep_ids_ns))
            self.symbols[symbol] = state
        return state

    def _minute(self, state: SymbolState, event_ns: int) -> Window | None:
        """The 1-minute window of *event_ns*, or None when the database must be asked first."""
        start_ns = _MINUTE.floor_ns(event_ns)
        window = state.windows.get((_MINUTE, start_ns))
        if window is None:
            if state.newest_ns is None or start_ns <= state.newest_ns:
                return None
            if not self._with_parents(state, start_ns):
                return None
            window = state.new_window(_MINUTE, start_ns)
        self._adopt(state, window)
        return window

    def _with_parents(self, state: SymbolState, start_ns: int) -> bool:
        """Make sure that the parents are in memory; False when they may be stored."""
        for timeframe in PARENTS:
            parent_ns = timeframe.floor_ns(start_ns)
            if (timeframe, parent_ns) not in state.windows:
                if state.newest_ns is not None and parent_ns <= state.newest_ns:
                    return False
                state.new_window(timeframe, parent_ns)
        return True

    def _adopt(self, state: SymbolState, window: Window) -> None:
        newest_ns = _BEFORE_TIME if state.newest_ns is None else state.newest_ns
        if window.start_ns >= newest_ns:
            state.newest_ns = window.start_ns
            state.minute = window

    def _drop(self, state: SymbolState, tick: Row) -> None:
        """Leave a tick out: it is known, or who has the log must tell."""
        self.dropped.append(tick)
        _, event_ns, seq, trade_id, price, size, side = tick
        if state.ids.knows(trade_id):
            self.duplicates += 1
        else:
            doubtful = Tick(state.symbol, trade_id, price, size, event_ns, Side(side), seq)
            self.doubtful.append(doubtful)

    def _fold_marked(self, window: Window, tick: Deferred) -> None:
        """Fold a tick that is late, or the first of its feed in this window."""
        state = self.symbols[tick.symbol]
        self._watch(tick.feed, state, window)
        if not window.closed:
            window.fold(tick.event_ns, tick.seq, tick.price, tick.size)
            self._touched[window] = None
            return
        self.late += 1
        # An open parent holds its closed minutes already.
        for revised in (window, *state.parents(window.start_ns)):
            revised.fold(tick.event_ns, tick.seq, tick.price, tick.size)
            (self._dirty if revised.closed else self._touched)[revised] = None

    def _watch(self, feed: str, state: SymbolState, minute: Window) -> None:
        """Let *feed*'s watermark close *minute* and its parents, too."""
        for window in (minute, *state.parents(minute.start_ns)):
            window.feed = feed
            if feed not in window.feeds:
                window.feeds += (feed,)
                self._push(feed, window)

    def _push(self, feed: str, window: Window) -> None:
        if not window.closed:
            key = (window.end_ns, window.timeframe.minutes, window.symbol, window.start_ns)
            heappush(self._due.setdefault(feed, []), key)

    def _mark(self, symbol: Symbol, from_ns: int, to_ns: int) -> None:
        """Bring the marks of windows in memory up to date; a closed one is revised by that."""
        state = self.symbols[symbol]
        for window in state.windows.values():
            if state.gaps is None or window.start_ns > to_ns or window.end_ns <= from_ns:
                continue
            gap = state.gaps.mark(window.start_ns, window.end_ns, marked=window.gap)
            if gap is not window.gap:
                window.gap = gap
                if window.trades:
                    (self._dirty if window.closed else self._touched)[window] = None
