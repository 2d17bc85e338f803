"""What an HTTP caller is told when a request cannot be answered. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from core.market.errors import TickgateError

MAX_SHOWN: Final = 80  # characters of a caller's own text that an error message repeats


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success; ``code`` is the HTTP status."""

    code: int
    message: str


class ApiError(TickgateError):
    """A request that is answered by an error status; ``headers`` go into the answer."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.message, self.headers = status, message, dict(headers or {})
        super().__init__(status, message)

    def __str__(self) -> str:
        return self.message

    def body(self) -> bytes:
        """The answer's JSON."""
        return _ENCODER.encode(ErrorAnswer(self.status, self.message))


class BadParameter(ApiError):
    """A query parameter that cannot be used: names it, what was given and what is accepted."""

    def __init__(self, name: str, given: str, accepted: str) -> None:
        self.name, self.given = name, given
        super().__init__(400, f"parameter {name}: {shown(given)} is not accepted; {accepted}")


class UnknownParameters(ApiError):
    """Query parameters that an endpoint does not have, likely misspelt."""

    def __init__(self, names: Iterable[str], accepted: Iterable[str]) -> None:
        given = ", ".join(shown(name) for name in names)
        offered = ", ".join(accepted) or "none"
        super().__init__(400, f"unknown parameter {given[:400]}; accepted here: {offered}")


def unavailable(reason: str, *, retry_after_s: int = 2) -> ApiError:
    """503: something this answer needs is away; worth another try after *retry_after_s*."""
    return ApiError(503, reason, {"Retry-After": str(retry_after_s)})


def shown(text: str) -> str:
    """*text* in quotes, cut to a length that fits a message, nothing unprintable in it."""
    cut = text[:MAX_SHOWN]
    return ascii(cut) + ("…" if len(text) > MAX_SHOWN else "")


_ENCODER: Final = msgspec.json.Encoder()
