"""Requests to the HTTP API, by the standard library alone; they block, with a deadline.

History is asked for now and then and answers in pages of thousands of bars, so a thread for a
request (``asyncio.to_thread``) costs nothing that would be felt, and no further package has to be
installed for it.
"""

import gzip
import random
import ssl as tls
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Final
from urllib.parse import urlencode

import msgspec

from tickgate.client.address import Credentials, http_url, is_local
from tickgate.client.backoff import Backoff
from tickgate.client.errors import AuthFailed, HistoryError, Unreachable

_PASSING: Final = frozenset({429, 502, 503, 504})
_LONGEST_WAIT_S: Final = 60.0  # limits are counted by the minute


class _Problem(msgspec.Struct):
    message: str = ""


@dataclass(kw_only=True)
class Requests:
    """GET requests to one gateway. Safe to use from several threads: nothing is kept.

    A request is made again, *retries* times at most, when the gateway cannot be reached, asks to
    slow down or cannot answer just now: after as long as it says, else with full jitter.
    """

    url: str
    credentials: Credentials
    timeout_s: float = 30.0
    retries: int = 3
    ssl: tls.SSLContext | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.5, cap_s=8.0))

    def __post_init__(self) -> None:
        self.base = http_url(self.url)
        handlers: list[urllib.request.BaseHandler] = []
        if is_local(self.url):
            handlers.append(urllib.request.ProxyHandler({}))
        if self.ssl is not None:
            handlers.append(urllib.request.HTTPSHandler(context=self.ssl))
        self._open = urllib.request.build_opener(*handlers).open

    def get(self, path: str, parameters: Mapping[str, str | None]) -> bytes:
        """The body of the answer; parameters that are None are left out.

        Raises:
            AuthFailed: no key or token, or one that is not accepted.
            HistoryError: the request was refused; a retry would be of no use, or was.
            Unreachable: no answer.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        url = f"{self.base}{path}?{urlencode(given)}"
        headers = {"Accept-Encoding": "gzip", **self.credentials.headers()}
        request = urllib.request.Request(url, headers=headers)
        attempt = 0
        while True:
            try:
                return self._once(request)
            except (HistoryError, Unreachable) as exc:
                if attempt >= self.retries or not _is_passing(exc):
                    raise
                wait_s = self.backoff.wait_s(attempt, random.random())
                if isinstance(exc, HistoryError) and exc.retry_after_s is not None:
                    wait_s = min(exc.retry_after_s, _LONGEST_WAIT_S)
            attempt += 1
            time.sleep(wait_s)

    def _once(self, request: urllib.request.Request) -> bytes:
        try:
            with self._open(request, timeout=self.timeout_s) as answer:
                return _body(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                raise _refusal(exc) from exc
        except (OSError, HTTPException) as exc:  # a URLError is an OSError, a time-out is as well
            reason = getattr(exc, "reason", None) or str(exc) or type(exc).__name__
            raise Unreachable(self.base, str(reason)) from exc


def _body(answer: HTTPResponse | urllib.error.HTTPError) -> bytes:
    body = answer.read()
    if answer.headers.get("Content-Encoding") != "gzip":
        return body
    try:
        return gzip.decompress(body)
    except (EOFError, zlib.error) as exc:  # where no length is told, nothing else shows it
        raise OSError(f"the answer is cut off or damaged ({exc})") from exc


def _is_passing(exc: HistoryError | Unreachable) -> bool:
    return isinstance(exc, Unreachable) or exc.code in _PASSING


def _refusal(exc: urllib.error.HTTPError) -> AuthFailed | HistoryError:
    try:
        reason = msgspec.json.decode(_body(exc), type=_Problem).message
    except (msgspec.DecodeError, OSError, HTTPException):
        reason = ""  # a proxy's page, perhaps, or cut off
    reason = reason or f"HTTP {exc.code} {exc.reason}"
    if exc.code == 401:
        return AuthFailed(reason)
    after = exc.headers.get("Retry-After", "")
    return HistoryError(exc.code, reason, retry_after_s=float(after) if after.isdigit() else None)
