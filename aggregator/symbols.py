"""SymbolState: what a shard knows of one symbol: ids, windows in memory, the newest trade. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from aggregator.gaps import SymbolGaps
from aggregator.pending import Pending
from aggregator.segments import Segment
from aggregator.window import Window
from core.market.block import Row
from core.market.symbol import Symbol
from core.market.tick import NO_ID
from core.market.timeframe import Timeframe
from core.market.trade_ids import TradeIds

PARENTS: Final = (Timeframe.MIN_5, Timeframe.MIN_15)

LastTrade = tuple[int, int, int, float, float, int]
"""event_ns, seq, trade_id, price, size, side: ordered by its first two."""


@dataclass(slots=True)
class SymbolState:
    """One symbol: known ids, and the windows in memory.

    ``newest_ns`` is the start of the newest 1-minute window that ever was, in memory or stored;
    None until the database was asked. A window that starts later is new for certain.
    """

    symbol: Symbol
    ids: TradeIds
    newest_ns: int | None = None
    gaps: SymbolGaps | None = None
    windows: dict[tuple[Timeframe, int], Window] = field(default_factory=dict)
    minute: Window | None = None  # the window of the latest tick
    last: LastTrade | None = None  # newest by order key
    last_dirty: bool = False
    pending: list[Pending] = field(default_factory=list)
    given_ids: dict[int, int] = field(default_factory=dict)
    """Ids that corrections gave and under which no trade came itself; the feed time then."""

    def new_window(self, timeframe: Timeframe, start_ns: int) -> Window:
        """A window that nobody has stored."""
        window = Window(self.symbol, timeframe, start_ns)
        if self.gaps is not None:
            window.gap = self.gaps.mark(start_ns, window.end_ns, marked=False)
        self.windows[timeframe, start_ns] = window
        return window

    def parents(self, start_ns: int) -> list[Window]:
        return [self.windows[tf, tf.floor_ns(start_ns)] for tf in PARENTS]

    def come_after_all(self, run: tuple[int, int]) -> bool:
        """Are the ids of the *run* of a segment, if it has some, above all that are known?"""
        first, last = run
        return last == NO_ID or self.ids.are_after_all(first)

    def are_new(self, segment: Segment) -> bool:
        """Is it certain that no id of *segment* is known? Then they are from now on."""
        if segment.run is None:
            return False
        first, last = segment.run
        if last == NO_ID:
            return True
        is_verifiable = segment.open_ns >= self.ids.floor_ns
        return is_verifiable and first != NO_ID and self.ids.add_run(first, last)

    def is_new(self, trade_id: int, event_ns: int) -> bool:
        """Whether a tick with an id counts, as far as can be told here; it is known then."""
        return event_ns >= self.ids.floor_ns and self.ids.add(trade_id)

    def note_newest(self, segment: Segment) -> None:
        """Keep the newest trade; of equal ones the later arrival."""
        if self.last is None or (segment.close_ns, segment.close_seq) >= self.last[:2]:
            self.last = (
                segment.close_ns,
                segment.close_seq,
                segment.close_id,
                segment.close,
                segment.close_size,
                segment.close_side,
            )
            self.last_dirty = True

    def is_parent_needed(self, window: Window) -> bool:
        """A parent stays while one of its minutes is in memory: a late tick revises both."""
        return window.timeframe is not Timeframe.MIN_1 and any(
            timeframe is Timeframe.MIN_1 and window.start_ns <= start_ns < window.end_ns
            for timeframe, start_ns in self.windows
        )


def note_last(states: Sequence[SymbolState], rows: Sequence[Row]) -> None:
    """Keep each symbol's newest trade of *rows*, as :meth:`SymbolState.note_newest`."""
    for index, event_ns, seq, trade_id, price, size, side in rows:
        state = states[index]
        last = state.last
        if last is None or event_ns > last[0] or (event_ns == last[0] and seq >= last[1]):
            state.last = (event_ns, seq, trade_id, price, size, side)
            state.last_dirty = True
