"""Times as the gateway writes and reads them: RFC 3339 text, msgpack timestamps. Pure."""

import struct
from datetime import UTC, date, datetime
from operator import index
from typing import Final, SupportsIndex

_SECOND_NS: Final = 1_000_000_000
_FRACTION_DIGITS: Final = 9
_LOW_34: Final = (1 << 34) - 1
_ACCEPTED: Final = "UNIX nanoseconds, a datetime with a zone, a date, or RFC 3339 text"
_END_NS: Final = 1 << 63  # the year 2262: no more is stored
_UNITS: Final = (("seconds", 10**11), ("milliseconds", 10**14), ("microseconds", 10**17))
"""Below so many of each is what a number looks like: from 1973 on no unit passes for another."""

Time = datetime | date | SupportsIndex | str
"""A time as callers give it: aware datetime, date (its midnight, UTC), UNIX ns, RFC 3339 text."""


def from_timestamp(payload: bytes) -> int:
    """UNIX ns from the payload of a msgpack timestamp (extension type -1).

    Source: MessagePack specification, "Timestamp extension type".

    Raises:
        struct.error: it is none.
    """
    if len(payload) == 8:
        both = int.from_bytes(payload)
        return (both & _LOW_34) * _SECOND_NS + (both >> 34)
    if len(payload) == 4:
        return int.from_bytes(payload) * _SECOND_NS
    fraction_ns, second = struct.unpack(">Iq", payload)
    return int(second) * _SECOND_NS + int(fraction_ns)


def from_text(text: str) -> int:
    """UNIX ns from RFC 3339 with up to nine decimals, which datetime would cut off.

    Raises:
        ValueError: it is something else, or has no zone.
    """
    head, point, rest = text.partition(".")
    if not point:
        return _whole_ns(text)
    digits = rest[:_FRACTION_DIGITS]
    while digits and not digits.isdigit():
        digits = digits[:-1]
    fraction_ns = int(digits.ljust(_FRACTION_DIGITS, "0"))
    return _whole_ns(head + rest[len(digits) :]) + fraction_ns


def to_text(time: Time) -> str:
    """*time* as a parameter of a request.

    Raises:
        TypeError: it is none of the types of a :data:`Time`.
        ValueError: a datetime without a zone, which could be meant in any, or a number that is
            too small for the nanoseconds of a time since 1973, and is not 0, or too large.
    """
    if isinstance(time, str):
        return time
    if isinstance(time, bool) or not isinstance(time, date | SupportsIndex):
        raise TypeError(f"a time was {time!r} ({type(time).__name__}); expected {_ACCEPTED}")
    if isinstance(time, SupportsIndex):  # also the integers of numpy, as a frame has them
        return ns_to_text(_checked_ns(index(time)))
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise ValueError(f"{time!r} has no time zone; use datetime(…, tzinfo=UTC)")
        return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return time.isoformat()


def ns_to_text(time_ns: int) -> str:
    """UNIX ns, any at all, as RFC 3339 with nine decimals."""
    second, fraction_ns = divmod(time_ns, _SECOND_NS)
    whole = datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()
    return f"{whole}.{fraction_ns:09d}Z"


def _checked_ns(time: int) -> int:
    if abs(time) >= _END_NS:
        raise ValueError(f"{time} is no UNIX time in nanoseconds; expected {_ACCEPTED}")
    for unit, end in _UNITS:
        if time and abs(time) < end:
            raise ValueError(f"{time} looks like {unit}; expected {_ACCEPTED}")
    return time


def _whole_ns(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return int(moment.timestamp()) * _SECOND_NS
