"""Where a gateway is and who asks: URLs of stream and HTTP, credentials. Pure."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

from tickgate.client.wire import Encoding

_STREAM: Final = "/v1/stream"
_LAST_OF_HEADERS: Final = "\xff"
_SECURE: Final = {"ws": False, "http": False, "wss": True, "https": True}


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key with its secret, or a token (``key`` is empty then)."""

    key: str = ""
    secret: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(key={self.key!r})"  # secrets do not go into logs and tracebacks

    def message(self) -> dict[str, str] | None:
        """The message of the stream that shows them; None where there are none."""
        if self.token:
            return {"action": "auth", "key": "oauth", "secret": self.token}
        if self.key:
            return {"action": "auth", "key": self.key, "secret": self.secret}
        return None

    def headers(self) -> dict[str, str]:
        """The header of HTTP requests that shows them.

        Raises:
            TypeError, ValueError: a header cannot carry them; their values are not told.
        """
        if self.token:
            return {"Authorization": f"Bearer {_checked('token', self.token)}"}
        if self.key:
            key, secret = _checked("key", self.key), _checked("secret", self.secret)
            return {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        return {}


def _checked(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected text, was {type(value).__name__}")
    if not value.isprintable() or max(value, default="") > _LAST_OF_HEADERS:
        words = "text that an HTTP header can carry; is there a line break at its end?"
        raise ValueError(f"{name}: expected {words}")
    return value


def stream_url(url: str, encoding: Encoding) -> str:
    """The stream of the gateway at *url*, which may be ``ws(s)://`` or ``http(s)://``.

    Raises:
        ValueError: *url* is no such address.
    """
    parts = _split(url)
    scheme = "wss" if _SECURE[parts.scheme] else "ws"
    path = _base_path(parts) + _STREAM
    return urlunsplit((scheme, parts.netloc, path, urlencode({"encoding": encoding.value}), ""))


def http_url(url: str) -> str:
    """The HTTP API of the gateway at *url*, without a slash at its end.

    Without a user and password in it: what sends requests takes them for a part of the host.

    Raises:
        ValueError: as :func:`stream_url`.
    """
    parts = _split(url)
    scheme = "https" if _SECURE[parts.scheme] else "http"
    return urlunsplit((scheme, _host(parts), _base_path(parts), "", ""))


def shown(url: str) -> str:
    """*url*, which is that of a gateway, as errors and logs may tell it: without its secrets."""
    parts = _split(url)
    return urlunsplit((parts.scheme, _host(parts), parts.path, "", ""))


def is_address(url: str) -> bool:
    """Can *url* be that of a gateway?"""
    return _parts(url) is not None


def is_local(url: str) -> bool:
    """Is the gateway on this machine? Then no proxy of the environment is to be asked for it."""
    host = _split(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    parts = _parts(url)
    if parts is None:
        raise ValueError(f"{url!r} is no address of a gateway; expected as ws://127.0.0.1:8080")
    return parts


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # looks at it
    except ValueError:
        return None
    return parts if parts.scheme in _SECURE and parts.hostname else None


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _base_path(parts: SplitResult) -> str:
    """A gateway may be behind a path; that of the stream itself may be named as well."""
    return parts.path.rstrip("/").removesuffix(_STREAM)
