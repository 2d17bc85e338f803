"""aiohttp's connection handler, made to answer in JSON even what is not HTTP at all."""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from gateway.http.errors import ApiError, shown
from gateway.http.fast_path import FastPath, is_plain
from gateway.http.middlewares import error_response, unexpected
from gateway.http.safe_headers import safe_headers
from gateway.http.udf import as_udf

log = logging.getLogger(__name__)

_QUOTED: Final = re.compile(r"""(?::?\ b['"]|:?\ bytearray\(|\?).*""")  # bytes, or a query
_LONG: Final = re.compile("Got more than ([0-9]+) bytes")
_MEANINGS: Final[Mapping[str, str]] = {  # of what aiohttp says first
    "Invalid char in url": "percent-encode what is not ASCII, or no printable sign, in its URL",
    "Invalid method": "its method is none of HTTP; accepted: GET and HEAD",
}

HANDLER_OPTIONS: Final[Mapping[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": 75.0,  # seconds
    "max_line_size": 64 * 1024,  # bytes of a request line: 1,000 symbols of 40 characters fit
    "max_field_size": 16 * 1024,  # bytes of one header
}


class JsonRequestHandler(web.RequestHandler):
    """Answers a malformed request in JSON, as aiohttp's own answer may be HTML, and is fast.

    A request that came before may be answered at once, by *fast*. That is tried between two
    requests only, while the parser of aiohttp has nothing left and all answers are with the
    kernel; from the first piece on that is not one plain request the connection is aiohttp's.
    What is used here of aiohttp's insides is what ``test_fast_path.py`` would miss.
    """

    __slots__ = ("_fast", "_fresh", "_plain")

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        fast: FastPath | None = None,
        **options: Any,
    ) -> None:
        super().__init__(server, loop=loop, **options)
        self._fast, self._fresh = fast, True
        self._plain: bytes | None = None  # the request that is being answered, if it is plain

    def data_received(self, data: bytes) -> None:
        """A request, a piece of one, or several."""
        if self._fast is not None:
            idle = self._is_idle()
            if idle and self._answered(self._fast, data):
                return
            if not is_plain(data):
                self._fast = self._plain = None
            elif idle:
                self._plain = data
        self._fresh = False
        super().data_received(data)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp*; from what was sent the fast path learns."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = as_udf(request.path, error_response(unexpected(request)))
        finished = await super().finish_response(request, resp, start_time)
        plain, self._plain = self._plain, None
        if plain is not None and self._fast is not None and not finished[1]:
            self._fast.learn(plain, request, resp)
        return finished

    def _is_idle(self) -> bool:
        if self._messages or self._force_close or self._close:
            return False
        waiter = self._waiter  # of the task that handles requests; it begins after the first bytes
        return self._fresh if waiter is None else not waiter.done()

    def _answered(self, fast: FastPath, data: bytes) -> bool:
        transport = self.transport
        if transport is None or transport.get_write_buffer_size():
            return False
        peer = self.peername
        sent = fast.answer(data, peer[0] if isinstance(peer, tuple) else "")
        if sent is None:
            return False
        if sent.body:
            transport.writelines(sent)
        else:
            transport.write(sent.head)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return True

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that no middleware saw; closes the connection after it."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("a request from %s failed", request.remote, exc_info=exc)
            error = ApiError(status, "internal error; the server's log has the cause")
        else:
            reason = _reason(message or "")
            error = ApiError(status, f"the request is not HTTP that this server reads: {reason}")
        if request.writer.output_size > 0:
            raise ConnectionError("the head of another answer is on its way already")
        response = error_response(error)
        # No signal of the application runs here.
        response.headers.update(safe_headers(secure=request.secure))
        response.force_close()
        return response


def _reason(message: str) -> str:
    """What a *message* of aiohttp says, without what it quotes: there may be a token in it."""
    text = _QUOTED.sub("", message.strip().partition("\n")[0])
    for beginning, meaning in _MEANINGS.items():
        if text.startswith(beginning):
            return meaning
    long = _LONG.match(text)
    return f"a line of it has more than {long[1]} bytes" if long else shown(text.rstrip(": "))


def http_protocols(
    server: web.Server, fast: FastPath | None = None
) -> Callable[[], web.RequestHandler]:
    """A factory of connection handlers for *server*, that of a web.AppRunner after setup().

    *fast*: the way around aiohttp, see :class:`JsonRequestHandler`; None: there is none.

    Call it within the running loop that the connections belong to.
    """
    loop = asyncio.get_running_loop()

    def make() -> web.RequestHandler:
        return JsonRequestHandler(server, loop=loop, fast=fast, **HANDLER_OPTIONS)

    return make
