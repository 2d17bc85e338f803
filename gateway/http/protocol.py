"""aiohttp's connection handler, made to answer in JSON even what is not HTTP at all."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from gateway.http.errors import ApiError, shown
from gateway.http.middlewares import SAFE_HEADERS, error_response

log = logging.getLogger(__name__)

HANDLER_OPTIONS: Final[Mapping[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": 75.0,  # seconds
    "max_line_size": 64 * 1024,  # bytes of a request line: 1,000 symbols of 40 characters fit
    "max_field_size": 16 * 1024,  # bytes of one header
}


class JsonRequestHandler(web.RequestHandler):
    """Answers a malformed request in JSON; aiohttp's own answer may be HTML."""

    __slots__ = ()

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
            reason = shown((message or "").strip().partition("\n")[0])
            error = ApiError(status, f"the request is not HTTP that this server reads: {reason}")
        if request.writer.output_size > 0:
            raise ConnectionError("the head of another answer is on its way already")
        response = error_response(error)
        response.headers.update(SAFE_HEADERS)  # no signal of the application runs here
        response.force_close()
        return response


def http_protocols(server: web.Server) -> Callable[[], web.RequestHandler]:
    """A factory of connection handlers for *server*, that of a web.AppRunner after setup().

    Call it within the running loop that the connections belong to.
    """
    loop = asyncio.get_running_loop()

    def make() -> web.RequestHandler:
        return JsonRequestHandler(server, loop=loop, **HANDLER_OPTIONS)

    return make
