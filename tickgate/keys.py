"""`tickgate keys add|list|revoke`: the keys of those who call the gateway.

A key is made here, shown once, and stored as the SHA-256 of its secret. Running gateways know of
it, and of its end, within two seconds. Without a database URL the keys are those of the
`tickgate dev` that runs on the data directory.
"""

import asyncio
import datetime as dt
import hashlib
import re
import secrets
import shlex
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec

from core.market.timeframe import SECOND_NS
from core.runtime.config import Loaded
from gateway.access.entitlement import Entitlement, EntitlementError
from gateway.channels import CHANNELS
from gateway.http.times import parse_time_ns
from gateway.keys import ACCEPTED_ID, is_key_id
from storage.api_keys import ApiKeyStore, KeyNotAdded
from storage.stored_key import StoredKey
from tickgate.arguments import Arguments, UsageError
from tickgate.output import complain, say
from tickgate.running_dev import with_database
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import Settings

_SECRET_BYTES: Final = 32  # 256 bits: nobody guesses it, so a fast hash is enough
_ID_BYTES: Final = 8
_MAX_NAME: Final = 100
_MAX_NUMBER: Final = 1_000_000_000
_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})(s|min|h|d)")
_UNITS_S: Final = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_MS_NS: Final = 1_000_000
_LATEST_MS: Final = 253_402_300_799_000  # 9999-12-31T23:59:59Z

Work = Callable[[ApiKeyStore], Coroutine[Any, Any, int]]


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Do what the first word says; exit code 1 where a key was not there to revoke."""
    action, *words = arguments.words
    work = _work(action, words, arguments)
    return asyncio.run(_with_store(loaded.values, work))


def _work(action: str, words: Sequence[str], arguments: Arguments) -> Work:
    as_json = "--json" in arguments.switches
    given = arguments.options
    if action == "add":
        if words:
            raise UsageError(f"{words[0]!r}: add takes no further word; see --id and --name")
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        key = _key(given, secret)
        return lambda store: _add(store, key, secret, as_json=as_json)
    if given:
        raise UsageError(f"{next(iter(given))}: only for add")
    if action == "list":
        if words:
            raise UsageError(f"{words[0]!r}: list takes no further word")
        return lambda store: _list(store, as_json=as_json)
    if action == "revoke":
        if not words:
            raise UsageError("revoke: expected the ids of the keys to revoke")
        return lambda store: _revoke(store, list(words))
    raise UsageError(f"{action!r}: expected add, list or revoke")


async def _with_store(settings: Settings, work: Work) -> int:
    database = GatedDatabase(with_database(settings))
    await database.open()
    try:
        return await work(ApiKeyStore(database))
    finally:
        await database.close()


async def _add(store: ApiKeyStore, key: StoredKey, secret: str, *, as_json: bool) -> int:
    try:
        await store.add(key)
    except KeyNotAdded as exc:
        complain(f"tickgate keys: {exc}")
        return 1
    if as_json:
        say(msgspec.json.encode({"key_id": key.key_id, "secret": secret}).decode())
        return 0
    say(f"key     {key.key_id}")
    say(f"secret  {secret}")
    say("The secret is shown this once: the database has its SHA-256 only. To use the key:")
    say(f"  curl -H 'Authorization: Bearer {key.key_id}:{secret}' URL/v1/symbols")
    return 0


async def _list(store: ApiKeyStore, *, as_json: bool) -> int:
    keys = await store.all()
    if as_json:
        say(msgspec.json.encode([_row(key) for key in keys]).decode())
        return 0
    if not keys:
        say("there are no keys; make one by `tickgate keys add`")
    for key in keys:
        row = _row(key)
        parts = [f"{name}={row[name]}" for name in _COLUMNS if row[name] not in (None, "")]
        say(f"{key.key_id:<20} {row['state']:<8} {'  '.join(parts)}")
    return 0


async def _revoke(store: ApiKeyStore, key_ids: list[str]) -> int:
    revoked = await store.revoke(key_ids)
    for key_id in revoked:
        say(f"{key_id}: revoked")
    missing = [key_id for key_id in key_ids if key_id not in revoked]
    for key_id in missing:
        complain(f"tickgate keys: {shlex.quote(key_id)}: there is no such key in force")
    return 1 if missing else 0


_COLUMNS: Final = (
    "name",
    "symbols",
    "channels",
    "requests_per_minute",
    "connections",
    "created",
    "expires",
    "revoked",
)


def _row(key: StoredKey) -> dict[str, Any]:
    """A key as the list shows it: never its digest."""
    is_over = key.expires_ms is not None and key.expires_ms * _MS_NS <= time.time_ns()
    state = "expired" if is_over else "in force"
    return {
        "key_id": key.key_id,
        "state": "revoked" if key.revoked_ms is not None else state,
        "name": key.name,
        "symbols": ",".join(key.symbols),
        "channels": None if key.channels is None else ",".join(key.channels),
        "requests_per_minute": key.requests_per_minute,
        "connections": key.connections,
        "created": _time(key.created_ms),
        "expires": _time(key.expires_ms),
        "revoked": _time(key.revoked_ms),
    }


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    ms = min(ms, _LATEST_MS)  # another program may have stored a later one
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(given: Mapping[str, str], secret: str) -> StoredKey:
    key_id = given.get("--id", f"tg{secrets.token_hex(_ID_BYTES)}")
    if not is_key_id(key_id):
        raise UsageError(f"--id: expected {ACCEPTED_ID}, was {key_id!r}")
    name = given.get("--name", "")
    if len(name) > _MAX_NAME or not name.isprintable():
        raise UsageError(f"--name: expected at most {_MAX_NAME} printable characters")
    return StoredKey(
        key_id=key_id,
        secret_sha256=hashlib.sha256(secret.encode()).digest(),
        name=name,
        symbols=_symbols(given.get("--symbols", "*")),
        channels=_channels(given.get("--channels", "*")),
        requests_per_minute=_number(given, "--requests-per-min", least=0),
        connections=_number(given, "--connections", least=1),
        expires_ms=_expiry(given.get("--expires")),
    )


def _symbols(text: str) -> tuple[str, ...]:
    try:
        return Entitlement(item.strip() for item in text.split(",")).patterns
    except EntitlementError as exc:
        raise UsageError(f"--{exc}") from exc


def _channels(text: str) -> tuple[str, ...] | None:
    names = [item.strip() for item in text.split(",")]
    if "*" in names:
        return None
    known = [channel.value for channel in CHANNELS]
    for name in names:
        if name not in known:
            raise UsageError(f"--channels: expected * or some of {', '.join(known)}, was {name!r}")
    return tuple(dict.fromkeys(names))


def _number(given: Mapping[str, str], flag: str, *, least: int) -> int | None:
    text = given.get(flag)
    if text is None:
        return None
    if not text.isdecimal() or not text.isascii() or not least <= int(text) <= _MAX_NUMBER:
        raise UsageError(f"{flag}: expected a whole number from {least}, was {text!r}")
    return int(text)


def _expiry(text: str | None) -> int | None:
    """UNIX milliseconds."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    if span is not None:
        ms = time.time_ns() // _MS_NS + int(span[1]) * _UNITS_S[span[2]] * 1_000
        if ms > _LATEST_MS:
            raise UsageError(f"--expires: expected a time before the year 10000, was {text!r}")
        return ms
    try:
        at_ns = parse_time_ns(text)
    except ValueError as exc:
        raise UsageError(
            f"--expires: expected a span such as 90d, 12h or 30min, or a time: {exc}, was {text!r}"
        ) from exc
    if at_ns <= time.time_ns():
        raise UsageError(f"--expires: expected a time to come, was {text!r}")
    return at_ns // SECOND_NS * 1_000
