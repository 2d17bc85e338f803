"""JwksSource: the keys that tokens are signed with, from a file or a URL, kept as they are now."""

import asyncio
import logging
from pathlib import Path
from typing import Final

import aiohttp

from core.market.timeframe import SECOND_NS
from core.runtime.ports import MonotonicClock
from gateway.access.guard import Guard
from gateway.access.tokens import Keys, NoUsableKey, TokenKeysError, Tokens, parse_keys

_LOG: Final = logging.getLogger(__name__)
_MAX_BYTES: Final = 262_144  # of a set; providers' have below 10,000
_TIMEOUT: Final = aiohttp.ClientTimeout(total=3.0, connect=1.0)
_REFRESH_S: Final = 300.0  # a key that its issuer withdrew is good no longer than that
_AGAIN_S: Final = 5.0  # after a failure
_UNKNOWN_S: Final = 10.0  # between two looks for keys that tokens name, whoever asks
_FILE_S: Final = 2.0  # between two looks at a file

_Failure = (aiohttp.ClientError, TimeoutError, OSError, UnicodeError, TokenKeysError)


class JwksSource:
    """Gives the keys to the reader of tokens.

    While they cannot be had, those known stay good. A set without a usable key withdraws them all.
    """

    def __init__(
        self,
        location: str,
        tokens: Tokens,
        guard: Guard,
        *,
        monotonic_ns: MonotonicClock,
    ) -> None:
        """*location* is an ``http(s)://`` URL or the path of a file."""
        self._location, self._tokens, self._guard = location, tokens, guard
        self._monotonic_ns = monotonic_ns
        self._is_url = location.startswith(("https://", "http://"))
        self._payload = b""
        self._asked_ns: int | None = None  # when it was last looked for a key that a token names
        self._failed = False
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Keep the keys fresh for ever."""
        while True:
            known = await self.refresh()
            usual_s = _REFRESH_S if self._is_url else _FILE_S
            await asyncio.sleep(usual_s if known else _AGAIN_S)

    async def look_for(self, key_id: str) -> bool:
        """A token names *key_id*, which is not known: fetch the keys anew, unless just done.

        However many ask, it is done once in ten seconds, so that made-up names do no harm.
        False: the keys cannot be had at the moment, so that nobody knows whether it is one.
        """
        async with self._one:
            now_ns = self._monotonic_ns()
            if self._asked_ns is None or now_ns - self._asked_ns >= _UNKNOWN_S * SECOND_NS:
                self._asked_ns = now_ns
                await self.refresh()
            return not self._failed

    async def refresh(self) -> bool:
        """Fetch the keys; False: that did not work, and all stays as it was."""
        try:
            payload = await (self._fetch() if self._is_url else self._read())
            if payload != self._payload:
                self._take(payload)
        except _Failure as exc:
            if not self._failed:
                shown, reason = self._shown(), _reason(exc)
                _LOG.warning("the keys of tokens stay as they were: %s: %s", shown, reason)
            self._failed = True
            return False
        self._failed = False
        return True

    def _take(self, payload: bytes) -> None:
        """These are the keys now. Raises TokenKeysError where it is no set of keys."""
        try:
            keys = parse_keys(payload, may_be_secret=not self._is_url)
        except NoUsableKey as exc:
            keys = {}
            _LOG.error("tokens are accepted by no key of %s: %s", self._shown(), exc)
        else:
            _LOG.info("tokens are accepted by %d keys of %s", _number(keys), self._shown())
        self._tokens.accept(keys)
        self._guard.forget()
        self._payload = payload

    async def _fetch(self) -> bytes:
        # No redirects: who may answer for this URL is who it names. No proxy of the environment.
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(self._location, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise TokenKeysError(f"the server answers {response.status}")
            payload = await response.content.read(_MAX_BYTES + 1)
            while len(payload) <= _MAX_BYTES and not response.content.at_eof():
                payload += await response.content.read(_MAX_BYTES + 1 - len(payload))
        return _bounded(payload)

    async def _read(self) -> bytes:
        def read() -> bytes:
            with Path(self._location).expanduser().open("rb") as file:
                return file.read(_MAX_BYTES + 1)

        return _bounded(await asyncio.to_thread(read))

    def _shown(self) -> str:
        """Without what a URL may hold of secrets."""
        if not self._is_url:
            return self._location
        scheme, _, rest = self._location.partition("://")
        host = rest.partition("/")[0].rpartition("@")[2]
        return f"{scheme}://{host}/…"


def _reason(exc: Exception) -> str:
    """Why the keys cannot be had, in one line; aiohttp's words for some failures hold the URL."""
    if isinstance(exc, (aiohttp.InvalidURL, UnicodeError)):
        return "no host can be looked up by this URL"
    text = str(exc)
    if isinstance(exc, aiohttp.ClientResponseError):
        text = f"what the server answers is not HTTP that can be read: {exc.message}"
    return text.partition("\n")[0].rstrip(": ") or type(exc).__name__


def _number(keys: Keys) -> int:
    """How many there are: one that is for several algorithms is one."""
    by_id = {(name[:2], key_id): len(same) for (name, key_id), same in keys.items()}
    return sum(by_id.values())


def _bounded(payload: bytes) -> bytes:
    if len(payload) > _MAX_BYTES:
        raise TokenKeysError(f"it is larger than {_MAX_BYTES} bytes")
    return payload
