"""Who sent an HTTP request, for its handler."""

from typing import Final

from aiohttp import web

from gateway.access.grant import ANYBODY, Caller

__all__ = ["CALLER", "Caller", "caller_of"]

CALLER: Final = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """Who sent *request*; anybody where no keys are asked for, as on the open paths."""
    caller: Caller = request.get(CALLER, ANYBODY)
    return caller
