"""Access: may this HTTP request be answered, and to whom? The way in for every request.

:meth:`Access.admit` answers from memory and at once, whenever that is possible. It is cheap enough
to come before everything else: the way without keys costs nothing, that with a key two hashes.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from core.market.timeframe import SECOND_NS
from gateway.access.addresses import counted_as
from gateway.access.cors import Cors
from gateway.access.credentials import Shown, shown_in
from gateway.access.grant import ANYBODY, Caller
from gateway.access.guard import HOW, UNREADABLE, Guard, NotYet, Refusal, Unsure, Verdict
from gateway.access.proxies import Proxies
from gateway.access.rates import Allowance, Rates
from gateway.endpoints import StreamPaths
from gateway.http.errors import ApiError, shown, unavailable
from gateway.origins import Origins

# The stream's clients may show their key in a message, so the stream itself asks for it. The
# description of the API tells nothing that is not in the documentation.
OPEN_PATHS: Final = frozenset({"/", "/livez", "/readyz", "/favicon.ico", "/openapi.json", "/docs"})
_STREAMS: Final = StreamPaths()
_OPEN_FOLDER: Final = "/static/"
_ASK: Final = {"WWW-Authenticate": 'Basic realm="tickgate", charset="UTF-8"'}
_ASK_SCRIPT: Final = {"WWW-Authenticate": 'Bearer realm="tickgate"'}
_WHOLE: Final = frozenset({"/metrics"})  # tells of everybody: not for who may read a part only
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {  # channels, by a word of the path
    "trades": ("trades",),
    "bars": ("bars",),
    "snapshots": ("trades", "bars"),
    "quotes": ("trades",),  # of charts: the last price is the last trade's
    "snapshot": ("trades", "bars"),
    "udf": ("bars",),
}


class Admission(msgspec.Struct, frozen=True):
    """Whose request it is, and the headers that its answer is to have besides."""

    caller: Caller
    headers: Mapping[str, str]


_FREE: Final = Admission(ANYBODY, {})

_KEYS_AGAIN_S: Final = 5  # about as often keys are asked for while they cannot be had

LookFor = Callable[[str], Awaitable[bool]]
"""As in :class:`gateway.latecomers.Latecomers`."""


class Access:
    """Guard, limits and proxies together. One task owns it: the gateway's event loop."""

    def __init__(
        self,
        guard: Guard,
        *,
        rates: Rates,
        proxies: Proxies | None = None,
        origins: Origins | None = None,
        look_for: LookFor | None = None,
        per_address: int = 0,
    ) -> None:
        """*per_address* requests a minute are refused in words to who shows nothing; 0: all."""
        self.guard, self.proxies = guard, proxies or Proxies()
        self.origins = origins or Origins()
        self.cors = Cors(self.origins)
        self._rates, self._look_for, self._per_address = rates, look_for, per_address

    def admit(self, headers: Mapping[str, str], path: str, remote: str) -> Admission | None:
        """Let a request in; None: something has to be asked for first, see :meth:`admit_slowly`.

        Args:
            headers: of the request; names in any case, or at least in lower case.
            path: as it was routed, without the query; a ``?`` in it is one of a name.
            remote: the address at the other end of the connection.

        Raises:
            ApiError: 401, 403 or 429; 503 while nobody can tell whether what is shown is good.
                The headers of the answer are in it.
        """
        if not self.guard.required or is_open(path):
            return _FREE
        proof = shown_in(headers)
        address = self.proxies.client(remote, headers)
        found = self.guard.judge(proof, address)
        if isinstance(found, Unsure) and self._look_for is not None:
            return None
        caller = self._caller(found, proof, address, headers)
        if not caller.requests_per_minute:
            return _permitted(Admission(caller, {}), path)
        allowance = self._rates.take(caller.key_id, caller.requests_per_minute)
        return None if allowance is None else _permitted(_allowed(caller, allowance), path)

    async def admit_slowly(self, headers: Mapping[str, str], path: str, remote: str) -> Admission:
        """The same, where a token's key or the count of a caller's requests has to be asked for.

        Raises:
            ApiError: as :meth:`admit`.
        """
        proof = shown_in(headers)
        address = self.proxies.client(remote, headers)
        found = self.guard.judge(proof, address)
        if isinstance(found, Unsure) and self._look_for is not None:
            is_readable = await self._look_for(found.key_id)
            found = self.guard.judge(proof, address)
            if isinstance(found, Unsure) and not is_readable:
                found = UNREADABLE
        caller = self._caller(found, proof, address, headers)
        if not caller.requests_per_minute:
            return _permitted(Admission(caller, {}), path)
        allowance = await self._rates.ask(caller.key_id, caller.requests_per_minute)
        return _permitted(_allowed(caller, allowance), path)

    def _caller(
        self,
        found: Verdict,
        proof: Shown | None,
        address: str,
        headers: Mapping[str, str],
    ) -> Caller:
        """Who *found* is. Raises ApiError (401, 429, 503) for who may not come in."""
        if isinstance(found, NotYet):
            raise unavailable(f"{found.reason}; try again", retry_after_s=_KEYS_AGAIN_S)
        if isinstance(found, Unsure):
            found = self._unknown(address)
        if isinstance(found, Refusal):
            raise self._refused(found, proof, address, _asking(headers))
        return found

    def _unknown(self, address: str) -> Refusal:
        self.guard.count_failure(address)
        return Refusal("the token is refused: its key is not among those that are accepted")

    def _refused(
        self, refusal: Refusal, proof: Shown | None, address: str, ask: Mapping[str, str]
    ) -> ApiError:
        wait_s = refusal.retry_after_s
        if wait_s:
            reset_s = self.guard.now_ns() // SECOND_NS + wait_s
            none = Allowance(False, self.guard.failures_per_minute, 0, reset_s, wait_s)
            return ApiError(429, f"{refusal.reason}; try again in {wait_s} s", none.headers())
        told: Mapping[str, str] = {}
        if proof is None and self._per_address:
            allowance = self._rates.count_here(f"address {counted_as(address)}", self._per_address)
            if not allowance.allowed:
                return _too_many(allowance)
            told = allowance.headers()
        return ApiError(401, f"{refusal.reason}; {HOW}", {**ask, **told})


def is_open(path: str) -> bool:
    """Is *path* for everybody, as the page and the probes are?"""
    if path.startswith(_OPEN_FOLDER):
        return ".." not in path
    return path in OPEN_PATHS or path in _STREAMS


def _asking(headers: Mapping[str, str]) -> Mapping[str, str]:
    """How a request is told to show who it is from.

    Told `Basic`, a browser asks its user by a dialog of its own, for each request of a page's
    script: only where the user went to the address is that of use. Source: the Fetch standard,
    "HTTP-network-or-cache fetch"; Fetch Metadata Request Headers.
    """
    is_script = headers.get("sec-fetch-mode", "navigate") != "navigate"
    return _ASK_SCRIPT if is_script else _ASK


def _allowed(caller: Caller, allowance: Allowance) -> Admission:
    if not allowance.allowed:
        raise _too_many(allowance)
    return Admission(caller, allowance.headers())


def _too_many(allowance: Allowance) -> ApiError:
    return ApiError(
        429,
        f"more than {allowance.limit} requests in this minute; "
        f"try again in {allowance.retry_after_s} s",
        allowance.headers(),
    )


def _permitted(admission: Admission, path: str) -> Admission:
    """*admission*, which counts either way. Raises ApiError (403) where *path* is not for it."""
    refused = _refused_path(admission.caller, path)
    if refused:
        raise ApiError(403, refused, admission.headers)
    return admission


def _refused_path(caller: Caller, path: str) -> str:
    """Why *caller* may not read *path*; empty where that is permitted."""
    if path in _WHOLE and not caller.symbols.everything:
        return f"{path} is for keys that may read all symbols"
    if caller.channels is None:
        return ""
    needed = (channel for word in path.split("/") for channel in _NEEDS.get(word, ()))
    missing = next((channel for channel in needed if not caller.permits_channel(channel)), None)
    return "" if missing is None else f"{shown(path)} is for keys that may read {missing}"
