"""What every request passes: counting, JSON errors, access, safe headers."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from core.market.timeframe import SECOND_NS
from core.runtime.ports import MonotonicClock
from gateway.access.admission import Access
from gateway.access.caller import CALLER
from gateway.access.cors import Cors
from gateway.http.errors import ApiError, shown, unavailable
from gateway.http.metrics import HttpMetrics
from gateway.http.safe_headers import safe_headers
from gateway.http.time_limit import OutOfTime, TimeLimit
from storage.errors import DatabaseUnavailable, SchemaError, StreamUnavailable

log = logging.getLogger(__name__)

_LIMITS: Final = web.RequestKey("limits", Mapping)  # headers that tell of them


def json_response(body: bytes, status: int = 200) -> web.Response:
    """An answer of the API; never kept by a browser or proxy, which cannot know its age."""
    return web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def error_response(error: ApiError) -> web.Response:
    """An error as its JSON answer."""
    response = json_response(error.body(), error.status)
    response.headers.update(error.headers)
    return response


async def add_safe_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add the headers that keep browsers from misusing an answer, and what its caller may yet ask.

    Just before it is sent, whatever it is: an error may be told to several callers.
    """
    response.headers.update(request.get(_LIMITS, {}))
    response.headers.update(safe_headers(secure=request.secure))


async def check_expectation(request: web.Request) -> None:
    """Answer ``Expect``: go on for ``100-continue``, raise HTTPExpectationFailed for all else."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed  # no middleware sees it
    if request.version >= HttpVersion11:  # RFC 9110, section 10.1.1: others do not know it
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is not the beginning of the answer


def unexpected(request: web.BaseRequest) -> ApiError:
    """417: what *request* expects is not done here."""
    expected = request.headers.get("Expect", "")
    return ApiError(417, f"Expect: {shown(expected)}; accepted: 100-continue")


def measured(metrics: HttpMetrics, monotonic_ns: MonotonicClock) -> Middleware:
    """Count requests and their duration by route."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        started_ns = monotonic_ns()
        status = 499  # the usual code for a caller that left before there was an answer
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            resource = request.match_info.route.resource
            route = "unmatched" if resource is None else resource.canonical
            requests, seconds = metrics.of_request(route, status)
            requests.inc()
            seconds.observe((monotonic_ns() - started_ns) / SECOND_NS)

    return measure


def json_errors(limit: TimeLimit) -> Middleware:
    """Turn whatever goes wrong into a JSON error, and bound the time of a request."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await limit.within(handler(request))
        except ApiError as error:
            return error_response(error)
        except OutOfTime as error:
            return error_response(ApiError(504, f"{error}; ask for less or try again"))
        except (DatabaseUnavailable, SchemaError, StreamUnavailable) as error:
            return error_response(unavailable(str(error)))
        except web.HTTPException as error:
            if error.status < HTTPStatus.BAD_REQUEST:
                raise
            return error_response(_described(request, error))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            return error_response(ApiError(500, "internal error; the server's log has the cause"))

    return answer


def admitted(access: Access) -> Middleware:
    """Let in who may come in, say who it is, and add what the answer is to tell of limits."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        # By the path that routes are found by: what is judged is what answers.
        asked = request.headers, request.rel_url.path_safe, request.remote or ""
        admission = access.admit(*asked) or await access.admit_slowly(*asked)
        request[CALLER], request[_LIMITS] = admission.caller, admission.headers
        return await handler(request)

    return admit


def preflights(cors: Cors) -> Middleware:
    """Answer browsers that ask whether a page may ask."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = cors.preflight(request.method, request.headers)
        return await handler(request) if headers is None else web.Response(status=204)

    return answer


def cross_origin(cors: Cors) -> Callable[[web.BaseRequest, web.StreamResponse], Awaitable[None]]:
    """Add the headers that let pages of other origins read an answer, where they may."""

    async def add(request: web.BaseRequest, response: web.StreamResponse) -> None:
        headers = cors.preflight(request.method, request.headers)
        for name, value in (cors.headers(request.headers) if headers is None else headers).items():
            known = response.headers.get(name) if name == "Vary" else None
            response.headers[name] = value if known is None else f"{known}, {value}"

    return add


def _described(request: web.Request, error: web.HTTPException) -> ApiError:
    path = shown(request.path)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        message = f"{shown(request.method)} is not accepted by {path}; accepted: {allowed}"
        return ApiError(error.status, message, {"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return ApiError(error.status, f"there is nothing at {path}; see docs/http-api.md")
    return ApiError(error.status, f"{error.reason} ({shown(error.text or '')})")
