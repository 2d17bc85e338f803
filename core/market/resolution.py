"""Resolutions: bars of any whole number of minutes up to a day, rolled up from stored ones. Pure.

Windows start at midnight UTC of each day and every so many minutes after it. Where the minutes do
not divide a day, its last window is the shorter one: no window reaches into the next day, so a day
is always made of whole windows.
"""

import functools
import re
from dataclasses import dataclass
from typing import Final, Self

from core.market.errors import TimeframeError
from core.market.timeframe import DAY_NS, MINUTE_NS, TIMEFRAMES, Timeframe

MAX_MINUTES: Final = DAY_NS // MINUTE_NS
"""The longest window is a day: days are where windows begin anew."""

ACCEPTED: Final = (
    "1Min to 1440Min (or T: 90T)",
    "1Hour to 24Hour (or H: 4H)",
    "1Day (or D)",
)
_HOUR: Final = 60  # minutes
_UNIT_MINUTES: Final = {
    "MIN": 1,
    "T": 1,
    "HOUR": _HOUR,
    "H": _HOUR,
    "DAY": MAX_MINUTES,
    "D": MAX_MINUTES,
}
# "M" is a month in other APIs, and so no unit here. A number has no leading zeros: one spelling.
_NAME: Final = re.compile(r"([1-9][0-9]{0,3})?(min|hour|day|t|h|d)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, order=True, slots=True)
class Resolution:
    """The length of a bar in whole minutes, 1 to 1,440; orders by it."""

    minutes: int

    def __post_init__(self) -> None:
        if not 1 <= self.minutes <= MAX_MINUTES:
            raise TimeframeError(f"{self.minutes}Min", ACCEPTED)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name such as ``7Min``, ``90T``, ``1Hour``, ``4H``, ``1Day``, ``D``; case is free.

        Raises:
            TimeframeError: a ValueError that says what is accepted; *text* is something else.
        """
        return cls(_minutes(text))

    @classmethod
    def of(cls, timeframe: Timeframe) -> Self:
        """The resolution of a stored timeframe."""
        return cls(timeframe.minutes)

    @property
    def name(self) -> str:
        """The one spelling that is given out: ``90Min``, ``4Hour``, ``1Day``."""
        if self.minutes == MAX_MINUTES:
            return "1Day"
        hours, rest = divmod(self.minutes, _HOUR)
        return f"{self.minutes}Min" if rest else f"{hours}Hour"

    @property
    def base(self) -> Timeframe:
        """The largest stored timeframe of which every window is made of whole windows."""
        return _base(self.minutes)

    @property
    def is_stored(self) -> bool:
        """Are bars of this very length stored?"""
        return self.minutes == self.base.minutes

    @property
    def ns(self) -> int:
        """Length of a window in nanoseconds; the last one of a day may be shorter."""
        return self.minutes * MINUTE_NS

    def floor_ns(self, time_ns: int) -> int:
        """Start of the window that holds *time_ns*."""
        in_day_ns = time_ns % DAY_NS
        return time_ns - in_day_ns % self.ns

    def end_ns(self, start_ns: int) -> int:
        """End of the window that starts at *start_ns*, which is the start of the one after it."""
        return min(start_ns + self.ns, start_ns - start_ns % DAY_NS + DAY_NS)

    def ceil_ns(self, time_ns: int) -> int:
        """The first start of a window that is not before *time_ns*."""
        start_ns = self.floor_ns(time_ns)
        return start_ns if start_ns == time_ns else self.end_ns(start_ns)

    def before_ns(self, start_ns: int) -> int:
        """Start of the window before the one that starts at *start_ns*."""
        return self.floor_ns(start_ns - 1)


@functools.lru_cache(MAX_MINUTES)  # nearly all requests name one of a few
def _minutes(text: str) -> int:
    found = _NAME.fullmatch(text)
    minutes = int(found[1] or 1) * _UNIT_MINUTES[found[2].upper()] if found else 0
    if not 1 <= minutes <= MAX_MINUTES:
        raise TimeframeError(text, ACCEPTED)
    return minutes


@functools.lru_cache(MAX_MINUTES)  # it is asked for several times by each request
def _base(minutes: int) -> Timeframe:
    return next(t for t in reversed(TIMEFRAMES) if minutes % t.minutes == 0)
