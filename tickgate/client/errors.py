"""What can go wrong for a client, each as an error that says what to do. Pure."""

from collections.abc import Iterable
from typing import Final

AUTH_FAILED: Final = 402
"""The stream's code for credentials that it does not accept."""

NOT_AUTHENTICATED: Final = 401


class ClientError(Exception):
    """Base of every error that the client raises on purpose."""


class AuthFailed(ClientError):
    """The gateway wants a key or token, or does not accept the one it was given: not retried.

    ``code`` is the stream's code or the HTTP status for that.
    """

    def __init__(self, reason: str, *, code: int = NOT_AUTHENTICATED) -> None:
        self.reason, self.code = reason, code
        super().__init__(reason)

    def __str__(self) -> str:
        return (
            f"the gateway does not let this client in: {self.reason}; "
            "check key=… and secret=…, or token=…"
        )


class Refused(ClientError):
    """The gateway refused a request: its code, and its words for what it accepts."""

    def __init__(self, code: int, reason: str) -> None:
        self.code, self.reason = code, reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"the gateway refused: {self.reason} (code {self.code})"


class SymbolRefused(Refused):
    """A subscription was refused: an ill-formed, ambiguous or forbidden symbol, or too many.

    What was subscribed before stays. ``symbols`` are all that were refused, as they were spelled,
    of which the words tell the first; ``channels``, as on the wire, where these were.
    """

    def __init__(
        self, code: int, reason: str, symbols: Iterable[str] = (), channels: Iterable[str] = ()
    ) -> None:
        self.symbols, self.channels = tuple(symbols), tuple(channels)
        super().__init__(code, reason)


class HistoryError(Refused):
    """An HTTP request was refused or could not be answered; ``code`` is the HTTP status.

    ``retry_after_s`` is how long the gateway asks to wait, None where it does not say.
    """

    def __init__(self, code: int, reason: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(code, reason)


class Unreachable(ClientError):
    """No answer from that address within the time that was allowed for it."""

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(url, reason)

    def __str__(self) -> str:
        return f"{self.url} cannot be reached: {self.reason}; is the gateway running there?"


class StreamClosed(ClientError):
    """The stream was used after its ``async with`` block had ended, or had failed before."""

    def __str__(self) -> str:
        return "the stream is closed; open one with: async with connect(…) as stream"


class MissingPackage(ClientError, ImportError):
    """A frame was asked for and the package that makes it is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package
        super().__init__(package)

    def __str__(self) -> str:
        return f"{self.package} is not installed; install it with: pip install {self.package}"
