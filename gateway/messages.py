"""What clients say: JSON or msgpack messages in, typed requests or published errors out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from core.market.errors import TickgateError
from gateway.channels import CHANNELS, Channel, Mode
from gateway.endpoints import NATIVE, WITH_TRADES, Endpoint

Name = tuple[Channel, str]
"""One subscription: the channel, and the symbol as the client spells it (or ``*``)."""

INVALID_SYNTAX: Final = 400
NOT_AUTHENTICATED: Final = 401
AUTH_FAILED: Final = 402
ALREADY_AUTHENTICATED: Final = 403
AUTH_TIMEOUT: Final = 404
SYMBOL_LIMIT: Final = 405
CONNECTION_LIMIT: Final = 406
SLOW_CLIENT: Final = 407
INSUFFICIENT: Final = 409
NOT_ON_THIS_FEED: Final = 410
INTERNAL: Final = 500

NOT_NAMED: Final[Mapping[str, Sequence[str]]] = {}
"""No name of the request is to blame."""

_AUTH_FAILED: Final = "auth failed"  # as it is published
_ACTIONS: Final = ("auth", "subscribe", "unsubscribe")
_CHANNELS: Final = {channel.value: channel for channel in CHANNELS}
_MODES: Final = tuple(mode.value for mode in Mode)
_ELSEWHERE: Final = ("news", "pricing")  # channels of the published protocol that none has

_SHORTHAND: Final = (Channel.TRADES, Channel.BARS)
_MAX_SHOWN: Final = 60  # characters of what was given that an error repeats
MAX_INTERVAL_MS: Final = 5_000
"""The longest window that a session may ask for."""


class RequestError(TickgateError):
    """A request that is refused: the published code, what was given and what is accepted.

    *refused* are the names of the request that this is about, as they were given, under
    ``symbols`` or ``channels``: without them the rest would be taken.
    """

    def __init__(
        self, code: int, reason: str, refused: Mapping[str, Sequence[str]] = NOT_NAMED
    ) -> None:
        self.code, self.reason, self.refused = code, reason, refused
        super().__init__(code, reason, refused)

    def __str__(self) -> str:
        return self.reason


class Auth(msgspec.Struct, frozen=True):
    """``{"action":"auth"}``."""

    key: str
    secret: str


class Options(msgspec.Struct, frozen=True):
    """How a session wants its data; None leaves what was set before (or the default)."""

    mode: Mode | None = None
    interval_ms: int | None = None
    cursor: bool | None = None


DEFAULTS: Final = Options()
"""Nothing asked for: everything stays as it is."""


class Subscribe(msgspec.Struct, frozen=True):
    """``{"action":"subscribe"}``: names in the order given, each once.

    ``resume`` is the cursor to go on from, empty for none.
    """

    names: tuple[Name, ...]
    snapshot: bool = False
    options: Options = DEFAULTS
    resume: str = ""


class Unsubscribe(msgspec.Struct, frozen=True):
    """``{"action":"unsubscribe"}``."""

    names: tuple[Name, ...]


Request = Auth | Subscribe | Unsubscribe


def decode_request(payload: bytes, *, binary: bool, endpoint: Endpoint = NATIVE) -> Request:
    """Read one client message to *endpoint*: JSON text, or msgpack where the frame was binary.

    A binary frame that starts with ``{`` is read as JSON, which no msgpack map starts with.

    Raises:
        RequestError: the message cannot be read or asks for what is not offered.
    """
    fields = _fields(payload, msgpack=binary and not payload.startswith(b"{"))
    action = fields.get("action")
    if action == "auth":
        return _auth(fields)
    if action == "subscribe":
        return _subscribe(fields, endpoint)
    if action == "unsubscribe":
        return Unsubscribe(tuple(dict.fromkeys(_names(fields, endpoint))))
    raise _refused("action", action, f"one of {', '.join(_ACTIONS)}")


def error(
    code: int, reason: str, refused: Mapping[str, Sequence[str]] = NOT_NAMED, *, published: bool
) -> dict[str, Any]:
    """An error message; *refused* are the names of the request that it is about.

    *published*: it is for a reader of the published protocol. One of those gives up at a key that
    is refused, and tries again after all else, by these very words; why comes beside them.
    """
    if published and code == AUTH_FAILED:
        why = reason.removeprefix(f"{_AUTH_FAILED}: ")
        return {"T": "error", "code": code, "msg": _AUTH_FAILED, "reason": why}
    return {"T": "error", "code": code, "msg": reason, **refused}


def _fields(payload: bytes, *, msgpack: bool) -> dict[str, Any]:
    form = "msgpack" if msgpack else "JSON"
    try:
        decoded = msgspec.msgpack.decode(payload) if msgpack else msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as exc:
        reason = str(exc)[:_MAX_SHOWN]
        raise RequestError(
            INVALID_SYNTAX, f"message is no readable {form}: {reason}; expected an object"
        ) from exc
    if not isinstance(decoded, dict):
        raise _refused("message", decoded, f"a {form} object with an action")
    for key in decoded:
        if not isinstance(key, str):
            raise _refused("key", key, "text")
    return decoded


def _auth(fields: Mapping[str, Any]) -> Auth:
    values = [fields.get(name) for name in ("key", "secret")]
    for name, value in zip(("key", "secret"), values, strict=True):
        if not (value is None or isinstance(value, str)):
            raise RequestError(INVALID_SYNTAX, f"{name}: expected text, was {_type(value)}")
    return Auth(*(value or "" for value in values))


def _subscribe(fields: Mapping[str, Any], endpoint: Endpoint) -> Subscribe:
    resume = fields.get("resume")
    if not (resume is None or isinstance(resume, str)):
        raise _refused("resume", resume, "the text of a cursor")
    return Subscribe(
        tuple(dict.fromkeys(_names(fields, endpoint))),
        snapshot=bool(_flag(fields, "snapshot")),
        options=_options(fields),
        resume=resume or "",
    )


def _options(fields: Mapping[str, Any]) -> Options:
    mode, interval_ms = fields.get("mode"), fields.get("interval_ms")
    if mode is not None and (not isinstance(mode, str) or mode not in _MODES):
        raise _refused("mode", mode, " or ".join(f'"{name}"' for name in _MODES))
    if interval_ms is not None and not (
        type(interval_ms) is int and 0 <= interval_ms <= MAX_INTERVAL_MS
    ):
        raise _refused("interval_ms", interval_ms, f"a whole number from 0 to {MAX_INTERVAL_MS}")
    return Options(
        mode=None if mode is None else Mode(mode),
        interval_ms=interval_ms,
        cursor=_flag(fields, "cursor"),
    )


def _flag(fields: Mapping[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise _refused(name, value, "true or false")


def _names(fields: Mapping[str, Any], endpoint: Endpoint) -> list[Name]:
    names: list[Name] = []
    for key in WITH_TRADES:
        _check_with_trades(key, fields)
    for key, value in fields.items():
        channel = _CHANNELS.get(key)
        if channel in endpoint.accepted:
            names += [(channel, symbol) for symbol in _symbols(key, value)]
        elif key == "symbols":
            names += [(each, symbol) for symbol in _symbols(key, value) for each in _SHORTHAND]
        elif key not in _OPTIONS and not _is_empty(value):
            raise _unknown_channel(key, endpoint)
    return names


_OPTIONS: Final = frozenset(
    ("action", "snapshot", "mode", "interval_ms", "cursor", "resume", *WITH_TRADES)
)


def _check_with_trades(key: str, fields: Mapping[str, Any]) -> None:
    """Names on a channel that comes with trades must be named there as well."""
    alone = set(_symbols(key, fields.get(key))) - set(_symbols("trades", fields.get("trades")))
    if alone:
        raise _refused(key, min(alone), "names that are under trades as well: it comes with them")


def _symbols(key: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _refused(key, value, "a list of symbols")
    for symbol in value:
        if not isinstance(symbol, str):
            raise _refused(key, symbol, "symbols as text, such as BTC/USD, or *")
    return value


def _unknown_channel(key: str, endpoint: Endpoint) -> RequestError:
    accepted = ", ".join(endpoint.accepted)
    if key in _CHANNELS or key in _ELSEWHERE:
        return RequestError(
            NOT_ON_THIS_FEED, f"channel {key} is not on this endpoint; it has {accepted}"
        )
    return RequestError(
        INVALID_SYNTAX, f"unknown channel {_shown(key)}: expected one of {accepted}, or symbols"
    )


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, (list, dict, str)) and not value)


def _refused(name: str, value: Any, accepted: str) -> RequestError:
    return RequestError(INVALID_SYNTAX, f"{name}: expected {accepted}, was {_shown(value)}")


def _shown(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return _type(value)
    if value is None:
        return "missing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _type(value: Any) -> str:
    name = type(value).__name__
    return {"list": "a list", "dict": "an object", "str": "text"}.get(name, name)
