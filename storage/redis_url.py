"""Where Redis is: the forms of its URL, read and refused in words. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

Kind = Literal["single", "sentinel", "cluster"]
SCHEMES: Final[Mapping[str, tuple[Kind, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("single", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: Final[Mapping[Kind, int]] = {"single": 6379, "sentinel": 26379, "cluster": 6379}
_TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs")
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")
_MAX_PORT: Final = 65_535


class Address(NamedTuple):
    """Of a server: host and port, or the path of a socket (then port 0)."""

    host: str
    port: int

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Credentials(NamedTuple):
    """Of an ACL user; no user means the default one, no password that none is sent."""

    user: str = ""
    password: str = ""


class Tls(NamedTuple):
    """Files in PEM form; empty means the system's authorities, and no certificate of our own."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify: bool = True


class Target(NamedTuple):
    """One server, the master that Sentinels name, or a Cluster known by some of its nodes."""

    kind: Kind
    addresses: tuple[Address, ...]
    credentials: Credentials = Credentials()
    master: str = ""
    sentinel: Credentials = Credentials()
    database: int = 0
    tls: Tls | None = None

    def __str__(self) -> str:
        """The addresses without secrets, for messages."""
        where = ",".join(str(address) for address in self.addresses)
        if self.kind == "sentinel":
            return f"{self.master} of the Sentinels {where}"
        return f"the Cluster {where}" if self.kind == "cluster" else f"{where}/{self.database}"


def parse_url(url: str) -> Target:
    """Read a URL of :data:`SCHEMES`.

    ``redis://[user:password@]host[:port][/database]`` and ``rediss://``, ``unix:///path``,
    ``redis+sentinel://[user:password@]host:port,…/master[/database]``,
    ``redis+cluster://[user:password@]host:port,…``; with ``rediss`` instead of ``redis`` by TLS.

    Raises:
        ValueError: it is none of these; says what is wrong, without its secrets.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in SCHEMES:
        raise ValueError(f"expected one of {', '.join(f'{name}://' for name in SCHEMES)}")
    kind, tls = SCHEMES[scheme]
    parts = urlsplit(f"x://{rest}")  # one way to read them all, whatever is known of the scheme
    options = _options(parts.query, kind, tls=tls)
    user_part, _, hosts = parts.netloc.rpartition("@")
    user, _, password = user_part.partition(":")
    path = unquote(parts.path)
    addresses: tuple[Address, ...]
    if scheme == "unix":
        if hosts or not path.strip("/"):
            raise ValueError("expected unix:///path/of/the/socket")
        addresses, master, database = (Address(path, 0),), "", ""
    else:
        addresses = tuple(_address(text, _PORTS[kind]) for text in hosts.split(","))
        master, database = _names(kind, path.strip("/"))
    if kind == "single" and len(addresses) > 1:
        raise ValueError("several servers; expected redis+sentinel:// or redis+cluster://")
    return Target(
        kind,
        addresses,
        Credentials(unquote(user), unquote(password)),
        master,
        Credentials(*(options.get(name, "") for name in _SENTINEL_OPTIONS)),
        _database(options.get("db", "") or database, kind),
        _tls(options) if tls else None,
    )


def url_problem(url: str) -> str:
    """What is wrong with *url*, or an empty string."""
    try:
        parse_url(url)
    except ValueError as exc:
        return str(exc)
    return ""


def mask_url(url: str) -> str:
    """*url* with its passwords hidden."""
    head, found, query = url.partition("?")
    user_part, at, hosts = head.rpartition("@")
    start, colon, _ = user_part.partition("://")[2].partition(":")
    if at and colon:
        head = f"{user_part.partition('://')[0]}://{start}:***@{hosts}"
    pairs = [
        f"{name}=***" if "password" in name else f"{name}{equals}{value}"
        for name, equals, value in (pair.partition("=") for pair in query.split("&"))
    ]
    return head + (f"?{'&'.join(pairs)}" if found else "")


def _options(query: str, kind: Kind, *, tls: bool) -> dict[str, str]:
    known = {"db"} if kind == "single" else set()
    known |= set(_TLS_OPTIONS) if tls else set()
    known |= set(_SENTINEL_OPTIONS) if kind == "sentinel" else set()
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise ValueError(f"there is no option {name!r}")
    return options


def _address(text: str, default_port: int) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError(f"{text!r} is no host:port: {exc}") from exc
    if port == 0:
        raise ValueError(f"{text!r} is no host:port: a port is 1 to {_MAX_PORT}")
    if not host and text:
        raise ValueError(f"{text!r} is no host:port")
    return Address(host or "localhost", port or default_port)


def _names(kind: Kind, path: str) -> tuple[str, str]:
    """Master and database, from a path."""
    if kind == "cluster":
        if path not in ("", "0"):
            raise ValueError(f"a Cluster has no databases, was /{path}")
        return "", ""
    if kind == "single":
        return "", path
    master, _, database = path.partition("/")
    if not master:
        raise ValueError("expected the master's name after the Sentinels: …/master-name")
    return master, database


def _database(text: str, kind: Kind) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise ValueError(f"the database is a number, was {text!r}")
    return int(text)


def _tls(options: Mapping[str, str]) -> Tls:
    verify = options.get("ssl_cert_reqs", "required")
    if verify not in ("required", "none"):
        raise ValueError(f"ssl_cert_reqs is required or none, was {verify!r}")
    files = [options.get(name, "") for name in _TLS_OPTIONS[:3]]
    if files[2] and not files[1]:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    return Tls(files[0], files[1], files[2], verify == "required")
