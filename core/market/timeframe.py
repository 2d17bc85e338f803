"""Timeframes and window arithmetic: half-open windows, aligned to the UNIX epoch, UTC."""

import enum
from typing import Final

from core.market.errors import TimeframeError

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
DAY_NS: Final = 24 * 60 * MINUTE_NS


class Timeframe(enum.StrEnum):
    """The lengths of bar that are folded and stored; the value is the wire name."""

    MIN_1 = "1Min"
    MIN_5 = "5Min"
    MIN_15 = "15Min"

    @property
    def minutes(self) -> int:
        return _MINUTES[self]

    @property
    def ns(self) -> int:
        """Length of a window in nanoseconds."""
        return _MINUTES[self] * MINUTE_NS

    def floor_ns(self, time_ns: int) -> int:
        """Start of the window ``[start, start + ns)`` that holds *time_ns*."""
        return time_ns - time_ns % (_MINUTES[self] * MINUTE_NS)

    @classmethod
    def parse(cls, text: str) -> "Timeframe":
        """Read the wire name.

        Raises:
            TimeframeError: *text* names no timeframe that is offered.
        """
        try:
            return cls(text)
        except ValueError as exc:
            raise TimeframeError(text, tuple(cls)) from exc


_MINUTES: Final = {Timeframe.MIN_1: 1, Timeframe.MIN_5: 5, Timeframe.MIN_15: 15}
TIMEFRAMES: Final = tuple(Timeframe)
