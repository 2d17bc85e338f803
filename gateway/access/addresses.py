"""Addresses of clients: how they are written, and what counts as one of them. Pure."""

import functools
import ipaddress
import re
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORT: Final = re.compile(r":[0-9]{1,5}$")
_HOST_BITS: Final = 64  # of IPv6: whoever has an address has as many as they like beside it
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: each is one of IPv4


def parse_address(text: str) -> Address | None:
    """An address, with or without a port or brackets; an IPv4 one in IPv6 form as what it is."""
    bare = text
    if text.startswith("["):
        bare = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        bare = _PORT.sub("", text)
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@functools.lru_cache(maxsize=10_000)
def counted_as(address: str) -> str:
    """By what is counted that comes from *address*: itself, or of IPv6 its network of 64 bits.

    A host is given such a network, or can take any address of its link's, so that limits for each
    address would be none. Addresses that only this machine or its link knows count one by one.
    """
    found = parse_address(address) if ":" in address else None
    if found is None:
        return address
    is_alone = found.version == 4 or found.is_loopback or found.is_link_local
    if is_alone or found in _TRANSLATED:
        return str(found)
    return f"{ipaddress.IPv6Address(int(found) >> _HOST_BITS << _HOST_BITS)}/{_HOST_BITS}"
