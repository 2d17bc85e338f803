"""Which form an answer has: JSON, CSV or Arrow, by ``Accept`` or the parameter ``format``. Pure."""

import enum
import re
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.http.errors import ApiError, shown
from gateway.http.weights import weight

_MEDIA: Final = re.compile(r"([^\s;,/]+)/([^\s;,]+)[ \t]*(;.*)?", re.DOTALL)


_Range = tuple[str, str, float]
"""A kind or ``*``, a subtype or ``*``, and how well it is liked."""


class Format(enum.Enum):
    """The form of an answer; the value is its media type. JSON stands first: it is the default."""

    JSON = "application/json"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"


FORMATS: Final = {form.name.lower(): form for form in Format}
"""By the value of the parameter ``format``, for callers that cannot set a header."""


def chosen(accept: str, parameter: str) -> Format:
    """The form that the caller likes best; the parameter, where given, outranks the header.

    Raises:
        ApiError: 406, the header takes none of what is offered.
    """
    if parameter:
        return FORMATS[parameter]
    if not accept.strip():
        return Format.JSON
    ranges = list(_ranges(accept))
    liked = {form: _liking(ranges, form.value) for form in Format}
    best = max(Format, key=lambda form: liked[form])  # the first of equals
    if liked[best] <= 0:
        offered = ", ".join(form.value for form in Format)
        raise ApiError(406, f"header Accept: {shown(accept)} takes none of {offered}")
    return best


def _ranges(accept: str) -> Iterator[_Range]:
    """What the header names; what is ill-formed is passed over. Takes time by its length."""
    for text in accept.split(","):
        match = _MEDIA.match(text.strip())
        if match is not None:
            yield match[1].lower(), match[2].lower(), weight(match[3] or "")


def _liking(ranges: Iterable[_Range], media: str) -> float:
    """The quality that a header gives a media type: that of the most specific range it names.

    Source: RFC 9110, section 12.5.1.
    """
    kind, _, subtype = media.partition("/")
    found = (-1, 0.0)
    for of_kind, of_subtype, quality in ranges:
        if of_kind in (kind, "*") and of_subtype in (subtype, "*"):
            found = max(found, ((of_kind == kind) + (of_subtype == subtype), quality))
    return found[1]
