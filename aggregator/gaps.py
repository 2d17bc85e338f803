"""Gaps of a symbol as the bars know them: which windows have trades missing. Pure."""

from collections.abc import Iterator
from typing import Final

import msgspec

from core.market.notice import Gap, GapState
from core.market.symbol import Symbol
from core.market.tick import NO_ID
from core.market.timeframe import TIMEFRAMES, Timeframe

MAX_GAPS: Final = 256
"""Gaps of a symbol that are told apart; the marks of those before stay for good."""
MAX_MINUTES: Final = 10_080
"""Stored minutes that one gap may touch: a week. Of a longer one the newest are marked."""

_NEVER: Final = -(2**63)
Times = tuple[int, int]
"""Two event times, both included."""
Span = tuple[Symbol, int, int]
"""Windows of a symbol that overlap these event times, both included, are to be looked at."""


class _Gap(msgspec.Struct, frozen=True, array_like=True):
    first_id: int
    from_ns: int
    to_ns: int


class SymbolGaps(msgspec.Struct, array_like=True):
    """The gaps of one symbol that are open or lost; goes into the checkpoint as it is."""

    gaps: list[_Gap] = msgspec.field(default_factory=list)
    kept_ns: int = _NEVER
    """A mark on a window that starts here or before is not taken away: its gap is forgotten."""

    def heed(self, gap: Gap) -> list[Times]:
        """Take in what was said of *gap*; the event times whose windows that may change."""
        if gap.state is GapState.FILLED and gap.first_id == NO_ID:
            return self._all_within(gap)
        known = self._take(gap)
        if gap.state is GapState.FILLED:
            return [] if known is None else [(known.from_ns, known.to_ns)]
        from_ns, to_ns = gap.from_ns, gap.to_ns
        if known is not None and (gap.state is GapState.OPEN or gap.first_id == NO_ID):
            to_ns = max(to_ns, known.to_ns)
        self.gaps.append(_Gap(gap.first_id, from_ns, to_ns))
        while len(self.gaps) > MAX_GAPS:
            self.kept_ns = max(self.kept_ns, self.gaps.pop(0).to_ns)
        if known is None:
            return [(from_ns, to_ns)]
        return [] if known.to_ns == to_ns else [(from_ns, max(to_ns, known.to_ns))]

    def mark(self, start_ns: int, end_ns: int, *, marked: bool) -> bool:
        """Whether trades are missing in the window; *marked*: whether they were until now."""
        if marked and start_ns <= self.kept_ns:
            return True
        return any(gap.from_ns < end_ns and gap.to_ns >= start_ns for gap in self.gaps)

    def _all_within(self, span: Gap) -> list[Times]:
        """Nothing is missing any more in these times, whichever gaps were there.

        It is those gaps whose bars are to be looked at: the span may be years, they are not.
        """
        rest, filled = list[_Gap](), list[Times]()
        for gap in self.gaps:
            if span.from_ns <= gap.from_ns and gap.to_ns <= span.to_ns:
                filled.append((gap.from_ns, gap.to_ns))
            else:
                rest.append(gap)
        self.gaps = rest
        return filled or [(span.from_ns, span.to_ns)]

    def _take(self, wanted: Gap) -> _Gap | None:
        for at, gap in enumerate(self.gaps):
            if (gap.from_ns, gap.first_id) == (wanted.from_ns, wanted.first_id):
                return self.gaps.pop(at)
        return None


def venue_of(symbol: Symbol) -> str:
    """The part of *symbol* before the colon."""
    return symbol.partition(":")[0]


def lost_blocks(symbol: Symbol, from_ns: int, to_ns: int) -> Gap:
    """Blocks of a stream were gone before they were read; trades of these times may have been
    in them.
    """
    return Gap(symbol, GapState.LOST, from_ns, max(from_ns, to_ns), NO_ID, NO_ID)


def windows_of(span: Span, *, newest_ns: int | None) -> Iterator[tuple[Timeframe, int]]:
    """The windows that a span touches, up to the newest that can be stored (None: not known)."""
    _, from_ns, to_ns = span
    if newest_ns is not None:
        to_ns = min(to_ns, newest_ns)
    for timeframe in TIMEFRAMES:
        last_ns = timeframe.floor_ns(to_ns)
        first_ns = max(timeframe.floor_ns(from_ns), last_ns - MAX_MINUTES * Timeframe.MIN_1.ns)
        for start_ns in range(first_ns, last_ns + 1, timeframe.ns):
            yield timeframe, start_ns
