"""Whose request it is that a proxy passes on. Pure.

Only what a trusted proxy says is believed, and of a list of addresses only what trusted proxies
have appended: it is read from the right, up to the first address that is not one of theirs.
Sources: RFC 7239, and the practice for X-Forwarded-For.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from core.market.errors import TickgateError
from gateway.access.addresses import parse_address

FORWARDED: Final = "forwarded"
X_FORWARDED_FOR: Final = "x-forwarded-for"
_MAX_HOPS: Final = 20
_PAIR: Final = re.compile(r'(?:^|;)\s*([^=;"\s]+)\s*=\s*("[^"]*"|[^;"\s]+)')
_ESCAPED: Final = re.compile(r"\\.")


class ProxyError(TickgateError):
    """A trusted proxy in the settings is no network."""

    def __init__(self, given: str) -> None:
        self.given = given
        super().__init__(given)

    def __str__(self) -> str:
        return f"{self.given!r} is no network: expected an address or CIDR such as 10.0.0.0/8"


class Proxies:
    """The proxies whose word on addresses is taken."""

    def __init__(self, trusted: Iterable[str] = (), *, header: str = X_FORWARDED_FOR) -> None:
        """Trust peers in these networks; *header* is the one that they set, and no other counts.

        Raises:
            ProxyError: an item is no network.
        """
        items = [part.strip() for item in trusted for part in item.split(",")]
        self._networks = [_network(item) for item in items if item]
        self._header = header

    def __len__(self) -> int:
        return len(self._networks)

    def trusts(self, peer: str) -> bool:
        """Is *peer* one of them?"""
        address = parse_address(peer) if self._networks else None
        return address is not None and any(address in network for network in self._networks)

    def client(self, peer: str, headers: Mapping[str, str]) -> str:
        """The address of who sent the request that came from *peer*."""
        if not self.trusts(peer):
            return peer
        client = peer
        for hop in reversed(self._hops(headers)):
            address = parse_address(hop)
            if address is None:  # hidden, or made up: the proxy that passed it on is who we know
                return client
            client = str(address)
            if not self.trusts(client):
                return client
        return client

    def _hops(self, headers: Mapping[str, str]) -> list[str]:
        lines = _lines(headers, self._header)
        if self._header == X_FORWARDED_FOR:
            items = [item for line in lines for item in line.split(",")]
            return [item.strip() for item in items[-_MAX_HOPS:]]
        elements = [element for line in lines for element in _elements(line)]
        return [_for(element) for element in elements[-_MAX_HOPS:]]


def _elements(line: str) -> list[str]:
    """The last ones of a ``Forwarded`` line; a comma in quotes is none between two of them.

    Quotes are paired from the right, where the proxies write: those that a client sent and left
    open take in nothing of what was appended.
    """
    elements, pieces, is_open = list[str](), list[str](), False
    for item in reversed(_ESCAPED.sub("", line).split(",")):
        pieces.append(item)
        is_open ^= item.count('"') % 2 == 1
        if not is_open:
            elements.append(",".join(reversed(pieces)))
            pieces = []
        if len(elements) == _MAX_HOPS:
            return elements[::-1]
    if pieces:
        elements.append(",".join(reversed(pieces)))
    return elements[::-1]


def _for(element: str) -> str:
    """Whom *element* says that the request came from; nothing within quotes says so."""
    pairs = ((name.lower(), value.strip('"')) for name, value in _PAIR.findall(element))
    return next((value for name, value in pairs if name == "for"), "unknown")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as exc:
        raise ProxyError(text) from exc


def _lines(headers: Mapping[str, str], name: str) -> list[str]:
    """All lines of a header: a proxy may add one of its own behind what the client sent."""
    loose = cast("Any", headers)
    for all_of in ("getall", "get_all"):
        if hasattr(loose, all_of):
            return list(getattr(loose, all_of)(name)) if name in headers else []
    value = headers.get(name)
    return [] if value is None else [value]
