"""RFC 3339 times to UNIX nanoseconds. Pure.

Python's own parser knows microseconds only; venues and SDKs send nanoseconds.
Source: RFC 3339, section 5.6.
"""

import datetime as dt
import re
from typing import Final

from core.market.tick import LATEST_NS
from core.market.timeframe import DAY_NS, MINUTE_NS, SECOND_NS

MIN_NS: Final = 0
MAX_NS: Final = LATEST_NS
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001  only ever shifted by UTC seconds
_EPOCH_DAY: Final = _EPOCH.toordinal()
_DATE: Final = r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
_CLOCK: Final = r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
# A blank before the offset is a plus sign that the caller did not percent-encode; strftime's %z and
# polars write offsets without a colon.
_ZONE: Final = r"(?:[Zz]|([+\- ])([0-9]{2}):?([0-9]{2}))"
_TIME: Final = re.compile(f"{_DATE}(?:[Tt ]{_CLOCK}{_ZONE})?")


def parse_time_ns(text: str) -> int:
    """Nanoseconds since the UNIX epoch of an RFC 3339 time, or of a date's midnight in UTC.

    Times before 1970 come back as :data:`MIN_NS`, those from 2262 on as :data:`MAX_NS`: bars
    lie between them.

    Raises:
        ValueError: another shape, or a date or time of day that does not exist; says which.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time or a date")
    year, month, day, hour, minute, second, fraction, sign, zone_h, zone_m = match.groups()
    try:
        days = dt.date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError as exc:
        raise ValueError(f"there is no such date ({exc})") from exc
    time_ns = days * DAY_NS
    if hour is not None:
        time_ns += _of_day_ns(hour, minute, second) + int((fraction or "0").ljust(9, "0"))
    if sign is not None:
        offset_ns = _of_day_ns(zone_h, zone_m, "00")
        time_ns += offset_ns if sign == "-" else -offset_ns
    return min(max(time_ns, MIN_NS), MAX_NS)


def _of_day_ns(hour: str, minute: str, second: str) -> int:
    if int(hour) > 23 or int(minute) > 59 or int(second) > 59:
        raise ValueError(f"there is no such time of day or offset ({hour}:{minute}:{second})")
    return (int(hour) * 60 + int(minute)) * MINUTE_NS + int(second) * SECOND_NS
