"""Entity tags and content codings of RFC 9110: what a caller has, and what it can read. Pure."""

import re
from typing import Final

import xxhash
from multidict import MultiMapping

from gateway.http.weights import weight

_TAG: Final = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')
_GZIP_NAMES: Final = frozenset({"gzip", "x-gzip"})


def listed(headers: MultiMapping[str], name: str) -> str:
    """The list that the header *name* holds, which may come on several lines; empty without it.

    Source: RFC 9110, section 5.3.
    """
    return ", ".join(headers.getall(name, ()))


def entity_tag(body: bytes) -> str:
    """The strong tag of *body*, in its quotes: other bytes have another one.

    Not a hash against forgers: nobody who asks has a say in the body.
    """
    return f'"{xxhash.xxh3_128_hexdigest(body)}"'


def packed_tag(tag: str) -> str:
    """The strong tag of the gzip form of the body that has *tag*: its bytes are others."""
    return f'{tag[:-1]}-gzip"'


def is_known(if_none_match: str, tag: str) -> bool:
    """Does the header ``If-None-Match`` say that the caller has the body with *tag*?

    Weak tags match, too, as RFC 9110 (section 13.1.2) wants it here; of an ill-formed list, what
    comes before the fault.
    """
    if if_none_match.strip() == "*":
        return True
    at = 0
    while match := _TAG.match(if_none_match, at):
        if match[1] == tag:
            return True
        at = match.end()
    return False


def takes_gzip(accept_encoding: str) -> bool:
    """Does the header ``Accept-Encoding`` let gzip in, at a weight that is not zero?

    Source: RFC 9110, section 12.5.3. Without the header nothing is packed.
    """
    others = False
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        allowed = weight(parameters) > 0
        if name.strip() in _GZIP_NAMES:
            return allowed
        if name.strip() == "*":
            others = allowed
    return others
