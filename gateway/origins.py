"""Which web pages may open the stream. Pure.

Browsers let any page open a WebSocket anywhere, and name the page's origin in the request: only
the server can refuse. Other programs send no such header. Source: RFC 6454, RFC 6455 section 10.2.
"""

import re
from collections.abc import Iterable
from typing import Final

from core.market.errors import TickgateError

ANY: Final = "*"
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class OriginError(TickgateError):
    """An origin in the settings cannot be one."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(origin)

    def __str__(self) -> str:
        return f"{self.origin!r} is no origin: expected https://HOST[:PORT] without a path, or *"


class Origins:
    """The origins that are let in besides the gateway's own."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        """Take origins as browsers write them, or ``*``; items may hold several, by commas.

        Raises:
            OriginError: one of them can never be sent.
        """
        items = [part.strip().lower() for item in allowed for part in item.split(",")]
        self._allowed = frozenset(_as_sent(item) for item in items if item)
        for origin in self._allowed - {ANY}:
            if not _ORIGIN.fullmatch(origin):
                raise OriginError(origin)

    @property
    def others(self) -> bool:
        """Are there any besides the gateway's own?"""
        return bool(self._allowed)

    @property
    def anywhere(self) -> bool:
        """May pages from everywhere?"""
        return ANY in self._allowed

    def allows(self, origin: str) -> bool:
        """Is *origin* among those in the settings?"""
        return self.anywhere or origin.lower() in self._allowed

    def admit(self, origin: str | None, host: str) -> bool:
        """May a page from *origin* connect, which asked for *host*? None: it is no browser."""
        if origin is None or ANY in self._allowed:
            return True
        origin = origin.lower()
        return origin in self._allowed or _own(origin, host.lower())


def _as_sent(origin: str) -> str:
    """Browsers leave out the port that the scheme has by default."""
    port = ":443" if origin.startswith("https:") else ":80"
    return origin.removesuffix(port)


def _own(origin: str, host: str) -> bool:
    """Is it the host that was asked for? A proxy before us may speak TLS: any scheme."""
    if not _ORIGIN.fullmatch(origin):
        return False
    return _bare(origin.partition("://")[2]) == _bare(host)


def _bare(authority: str) -> str:
    """Without the port if it is a default one, which browsers leave out."""
    return authority.removesuffix(":80").removesuffix(":443")
