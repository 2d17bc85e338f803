"""Which form an answer has: JSON, CSV or Arrow, by ``Accept`` or the parameter ``format``. Pure."""

import enum
import re
from typing import Final

from gateway.http.errors import ApiError, shown

_MEDIA: Final = re.compile(r"\s*([^\s;,/]+)/([^\s;,]+)\s*((?:;[^,]*)?)")
_QUALITY: Final = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.IGNORECASE)


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
    liked = {form: _liking(accept, form.value) for form in Format}
    best = max(Format, key=lambda form: liked[form])  # the first of equals
    if liked[best] <= 0:
        offered = ", ".join(form.value for form in Format)
        raise ApiError(406, f"header Accept: {shown(accept)} takes none of {offered}")
    return best


def _liking(accept: str, media: str) -> float:
    """The quality that a header gives a media type: that of the most specific range it names.

    Source: RFC 9110, section 12.5.1.
    """
    kind, _, subtype = media.partition("/")
    found = (-1, 0.0)
    for match in _MEDIA.finditer(accept):
        of_kind, of_subtype = match[1].lower(), match[2].lower()
        if of_kind not in (kind, "*") or of_subtype not in (subtype, "*"):
            continue
        quality = _QUALITY.search(match[3])
        detail = (of_kind == kind) + (of_subtype == subtype)
        found = max(found, (detail, float(quality[1]) if quality else 1.0))
    return found[1]
