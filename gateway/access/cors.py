"""Which web pages may read the API's answers. Pure. Source: the Fetch standard, "CORS protocol".

A page that sends credentials sends them in headers of its own making: cookies are not used here,
so that no page can act in the name of somebody who did not give it a key.
"""

from collections.abc import Mapping
from typing import Final

from gateway.origins import ANY, Origins

_EXPOSED: Final = (
    "ETag, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-Next-Page-Token, X-Missing"
)
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": (
        "Authorization, APCA-API-KEY-ID, APCA-API-SECRET-KEY, Accept, Content-Type, If-None-Match"
    ),
    "Access-Control-Max-Age": "600",
}


class Cors:
    """Headers for browsers, by the origin of the page that asks."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def headers(self, asked: Mapping[str, str]) -> Mapping[str, str]:
        """To be added to every answer to a request with the headers *asked*; often none."""
        if not self._origins.others:
            return _NONE
        origin = asked.get("origin")
        if origin is None or not self._origins.allows(origin):
            return _VARY
        return {
            **_VARY,
            "Access-Control-Allow-Origin": ANY if self._origins.anywhere else origin,
            "Access-Control-Expose-Headers": _EXPOSED,
        }

    def preflight(self, method: str, asked: Mapping[str, str]) -> Mapping[str, str] | None:
        """The headers of the answer to a preflight request; None for any other request."""
        if method != "OPTIONS" or not asked.get("access-control-request-method"):
            return None
        found = self.headers(asked)
        return {**found, **_PREFLIGHT} if len(found) > 1 else found


_NONE: Final[Mapping[str, str]] = {}
_VARY: Final[Mapping[str, str]] = {"Vary": "Origin"}
