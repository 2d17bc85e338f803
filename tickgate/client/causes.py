"""Why there is no connection, in words, and whether another attempt may fare better."""

import errno
from typing import Final

from websockets.exceptions import InvalidStatus

from tickgate.client.errors import AuthFailed, Refused

_REFUSED: Final = f"[Errno {errno.ECONNREFUSED}]"  # of one address, or of each of several
_HTTP_UNAUTHORISED: Final = (401, 403)
_HTTP_PASSING: Final = (408, 425, 429)  # of the statuses of 400 and more, those worth a retry


def reason_of(exc: Exception) -> str:
    """Why there is no connection; asyncio's words leave out that somebody refused it."""
    words = str(exc) or type(exc).__name__
    return f"connection refused ({words})" if _REFUSED in words else words


def passing_reason(exc: InvalidStatus) -> str:
    """Why a handshake was refused, where another one may fare better.

    Raises:
        AuthFailed, Refused: it will not.
    """
    status = exc.response.status_code
    reason = f"{status} {exc.response.reason_phrase}"
    body = exc.response.body
    if body:
        reason += ": " + body[:500].decode(errors="replace")
    if status in _HTTP_UNAUTHORISED:
        raise AuthFailed(reason, code=status) from exc
    if 400 <= status < 500 and status not in _HTTP_PASSING:
        raise Refused(status, reason) from exc
    return reason
