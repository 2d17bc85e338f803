"""The trading before a sim's start: how many ticks, and when each of them took place. Pure."""

from collections.abc import Iterable
from typing import Final

TICKS_PER_MINUTE: Final = 8
"""Of each symbol: enough for a candle with its wicks, and hours of them go out in a second."""
_MINUTE_NS: Final = 60 * 10**9


class SimHistory:
    """The first ticks of a sim, which lie before its start, evenly spaced, at one's turn each.

    What a tick has (its symbol, id, price, size) depends on the spec alone; only its event time
    depends on the start.
    """

    def __init__(self, *, minutes: int, symbols: int) -> None:
        """*minutes*: 0 for none."""
        self._per_minute = TICKS_PER_MINUTE * symbols
        self.rounds = minutes * TICKS_PER_MINUTE
        """Ticks of each symbol."""
        self.ticks = self.rounds * symbols
        self.rate = self._per_minute / 60.0
        """Ticks/s of market time."""
        self.seconds = minutes * 60.0

    def start_ns(self, marks: Iterable[tuple[int, int]], *, now_ns: int) -> int:
        """The time of tick 0, so that the last one lies just before now, or lay before then.

        Args:
            marks: tick number and feed time where the shards' streams end: the feed time is the
                event time of the tick before that number, or an earlier one's (when ticks were
                made good after a crash).
            now_ns: nothing may lie beyond.
        """
        newest_ns = now_ns - self._after_ns(self.ticks)
        known = [
            feed_ns - self._after_ns(number - 1)
            for number, feed_ns in marks
            if 0 < number < self.ticks and feed_ns > 0
        ]
        return min(max(known, default=newest_ns), newest_ns)

    def event_times(self, first: int, count: int, *, start_ns: int) -> list[int]:
        """Of ticks number *first* to *first* + *count* - 1."""
        return [start_ns + self._after_ns(n) for n in range(first, first + count)]

    def bridge(self, start_ns: int, until_ns: int, *, rate: float, most: int) -> list[int]:
        """Times of the live market's ticks that were due since the end of the history.

        At *rate* ticks/s, but not more than *most*, which are spread then.
        """
        end_ns = start_ns + self._after_ns(self.ticks)
        gap_ns = max(0, until_ns - end_ns)
        count = min(int(gap_ns * rate / 1e9), most)
        return [end_ns + gap_ns * n // count for n in range(count)]

    def _after_ns(self, number: int) -> int:
        """From tick 0 to tick *number*."""
        return number * _MINUTE_NS // self._per_minute
