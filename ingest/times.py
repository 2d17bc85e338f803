"""Venue time stamps to UNIX nanoseconds, by integer arithmetic: no digit is rounded away."""

import datetime as dt
import re
from typing import Final

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,18}))?)?(Z|z|[+-]\d\d:?\d\d)?"
)
UNITS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds in each unit a numeric time may come in."""

_MOST_NS: Final = 2**63 - 1
_MINUTE_NS: Final = 60 * 10**9
_SCALES: Final[dict[int, int]] = {digits: 10 ** (9 - digits) for digits in range(1, 10)}


class StampReader:
    """Reads RFC 3339 stamps; keeps the minute it read last, as trades come minute by minute."""

    __slots__ = ("_minute", "_minute_ns")

    def __init__(self) -> None:
        self._minute, self._minute_ns = "", 0

    def read_ns(self, text: str) -> int:
        """UNIX nanoseconds of ``2021-04-17T16:43:37.089723Z``; digits beyond ns are cut off.

        Raises:
            ValueError: *text* is no RFC 3339 stamp (a stamp without a zone is taken as UTC), or
                one before 1677 or after 2262.
        """
        # The common shape, "YYYY-MM-DDTHH:MM:SS.ffffffZ" in the minute read before, without regex.
        if text[:16] == self._minute and text[16:17] == ":" and text[19:20] == ".":
            seconds, fraction = text[17:19], text[20:-1]
            scale = _SCALES.get(len(fraction))
            if scale and text[-1] == "Z" and (seconds + fraction).isdecimal() and seconds < "60":
                return self._minute_ns + int(seconds) * 10**9 + int(fraction) * scale
        return self._read_any(text)

    def _read_any(self, text: str) -> int:
        match = _STAMP.fullmatch(text)
        if match is None:
            raise ValueError(f"no RFC 3339 time: {text[:40]!r}")
        day, minute, seconds, fraction, zone = match.groups()
        zone = "+00:00" if zone in (None, "Z", "z") else zone
        start = dt.datetime.fromisoformat(f"{day}T{minute}{zone}") - _EPOCH
        minute_ns = (start.days * 86_400 + start.seconds) * 10**9
        checked_ns(minute_ns + 2 * _MINUTE_NS)
        checked_ns(minute_ns)
        if zone == "+00:00":
            self._minute, self._minute_ns = text[:16], minute_ns
        whole = int(seconds or 0)
        if whole > 60:
            raise ValueError(f"no second of a minute: {text[:40]!r}")
        return minute_ns + whole * 10**9 + int((fraction or "")[:9].ljust(9, "0"))


def timestamp_ns(data: bytes) -> int:
    """UNIX nanoseconds of a msgpack timestamp's payload.

    Source: MessagePack specification, "Timestamp extension type".

    Raises:
        ValueError: *data* is none of 4, 8 or 12 bytes, or a time before 1677 or after 2262.
    """
    if len(data) == 4:
        return int.from_bytes(data, "big") * 10**9
    if len(data) == 8:
        packed = int.from_bytes(data, "big")
        return checked_ns((packed & 0x3_FFFF_FFFF) * 10**9 + (packed >> 34))
    if len(data) == 12:
        seconds = int.from_bytes(data[4:], "big", signed=True)
        return checked_ns(seconds * 10**9 + int.from_bytes(data[:4], "big"))
    raise ValueError(f"no time: {len(data)} bytes, expected 4, 8 or 12")


def number_ns(value: int | float | str, unit_ns: int) -> int:
    """UNIX nanoseconds of a number of units of *unit_ns*; decimal text stays exact.

    Raises:
        ValueError: *value* is no finite number of at most 40 characters, or a time before 1677
            or after 2262.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 1.7e+18 has no exponent then
    text = value if isinstance(value, str) else repr(value)
    match = re.fullmatch(r"(-?\d{1,19})(?:\.(\d{1,20}))?", text.strip())
    if match is None:
        raise ValueError(f"no time in numbers: {text[:40]!r}")
    whole, fraction = match.groups()
    sign = -1 if whole.startswith("-") else 1
    part = int((fraction or "")[:9].ljust(9, "0")) * unit_ns // 10**9
    return checked_ns(int(whole) * unit_ns + sign * part)


def checked_ns(time_ns: int) -> int:
    """*time_ns*, which fits the 64 bits of a tick.

    Raises:
        ValueError: it does not.
    """
    if not -_MOST_NS <= time_ns <= _MOST_NS:
        raise ValueError("a time before 1677 or after 2262")
    return time_ns
