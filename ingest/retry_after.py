"""Retry-After: for how long a server that is asked too often wants to be left alone. Pure."""

from email.utils import parsedate_to_datetime
from typing import Final

MAX_S: Final = 300.0
"""Nobody is left alone for longer, whatever it says."""


def seconds_of(header: str, now_ns: int) -> float | None:
    """What the header says: seconds, or a date; None where it is neither.

    Source: RFC 9110, section 10.2.3.
    """
    if header.isdecimal() and header.isascii():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now_ns / 1e9)
    except (ValueError, OverflowError):
        return None
