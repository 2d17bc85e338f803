"""What no single setting shows: which values do not go together, and where data goes by default."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from core.runtime import config
from core.runtime.config import ConfigError, Loaded, Problem, Setting, veil
from gateway.access.proxies import Proxies, ProxyError
from gateway.origins import OriginError, Origins
from storage.redis_url import SCHEMES
from storage.redis_url import url_problem as redis_problem
from tickgate.disk_plan import MIN_DISK_BYTES
from tickgate.settings import (
    CHECK,
    DEV,
    EXPORT,
    GATEWAY,
    IMPORT,
    KEYS,
    REBUILD,
    ROLES,
    SETTINGS,
    WATCH,
    Settings,
)

_SERVING = (DEV, GATEWAY, CHECK)  # what the gateway refuses, a check finds
_FIND_SERVERS = (DEV, CHECK, KEYS, REBUILD, EXPORT, IMPORT)  # of their own, or those of dev
_QUOTED = re.compile(r"""(["'])(.*?)\1""", re.DOTALL)
_QUOTED_WHOLLY = re.compile(r"""(["'])(.*)\1""", re.DOTALL)  # where there are quotes in it, too
_QUOTE = re.compile("[\"']")
_PEM = "-----BEGIN "  # of a public or private key, or a certificate
_MIN_SECRET_BYTES = 32  # as gateway.access.tokens asks for, which is dear to load


def is_loopback(host: str) -> bool:
    """True when *host* can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def data_dir(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Where the embedded servers keep their data, by the XDG base directory convention.

    Raises:
        DataDirUnusable: it is in a home directory that cannot be found.
    """
    home = environ.get("XDG_DATA_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path("~", ".local", "share")
    path = Path(settings.data_dir) if settings.data_dir else base / "tickgate"
    try:
        return path.expanduser().absolute()
    except RuntimeError as exc:
        from storage.embedded.errors import DataDirUnusable

        raise DataDirUnusable(path, "nobody knows the home directory of that user") from exc


def check(loaded: Loaded[Settings], command: str, *, lean: bool = False) -> None:
    """Check what no single setting shows.

    A *lean* process does not load the libraries that know URLs: the processes that it starts look
    closer, and end with code 2.

    Raises:
        ConfigError: names every setting that does not go with the others.
    """
    rules = (
        _check_urls if lean else _check_urls_closely,
        _check_hosts,
        _check_keys,
        _check_tokens,
        _check_origins,
        _check_proxies,
        _check_tls,
        _check_reconnect,
        _check_pool,
        _check_disk,
        _check_watch,
    )
    problems = [problem for rule in rules for problem in rule(loaded, command)]
    if problems:
        raise ConfigError(problems)


def problem(loaded: Loaded[Settings], name: str, accepted: str) -> Problem:
    """What is wrong with the setting *name*, in terms of the flag or variable that set it."""
    setting, source = _setting(name), loaded.sources[name]
    if source == config.DEFAULT:
        source = f"{setting.flag} (or {setting.variable})"
    shown = setting.show(getattr(loaded.values, name))
    return Problem(source, repr(shown) if shown else "empty", accepted)


def _setting(name: str) -> Setting:
    return next(setting for setting in SETTINGS if setting.name == name)


def _check_urls_closely(loaded: Loaded[Settings], command: str) -> list[Problem]:
    return _check_urls(loaded, command, closely=True)


def _check_urls(loaded: Loaded[Settings], command: str, *, closely: bool = False) -> list[Problem]:
    values, problems = loaded.values, []
    schemes = {
        "redis_url": (values.redis_url, tuple(f"{scheme}://" for scheme in SCHEMES)),
        "database_url": (values.database_url, ("postgresql://", "postgres://")),
    }
    for setting in SETTINGS:
        if setting.name not in schemes or not setting.concerns(command):
            continue
        url, accepted = schemes[setting.name]
        dsn = setting.name == "database_url" and "=" in url and "://" not in url
        if url and not url.startswith(accepted) and not dsn:
            problems.append(_unreadable(loaded, setting, url))
        elif url and (reason := _ill_formed(setting.name, url, closely=closely)):
            problems.append(_unreadable(loaded, setting, url, reason))
        if not url and command not in _FIND_SERVERS:
            needed = f"{setting.accepted} (only `tickgate dev` brings a server of its own)"
            problems.append(problem(loaded, setting.name, needed))
    return problems


def _unreadable(loaded: Loaded[Settings], setting: Setting, url: str, reason: str = "") -> Problem:
    """*reason* may quote any part of *url*: what is not shown of that is not repeated either."""
    shown = veil(url)
    if not reason:
        return Problem(loaded.sources[setting.name], repr(shown), setting.accepted)
    quoted = _QUOTED_WHOLLY if _QUOTE.search(url) else _QUOTED
    told = quoted.sub(lambda found: found[0] if found[2] in shown else "…", reason)
    if "@" in url:
        told += "; in a password % / ? # [ @ and blanks are written %25 %2F %3F %23 %5B %40 %20"
    return Problem(loaded.sources[setting.name], repr(shown), f"{setting.accepted} ({told})")


def _ill_formed(name: str, url: str, *, closely: bool) -> str:
    """What is wrong with *url*; empty when nothing is."""
    if name == "redis_url":
        return redis_problem(url)
    if "://" in url:
        try:
            _ = urlsplit(url).port
        except ValueError as exc:
            return str(exc)
    if not closely:
        return ""
    from storage.database import url_problem as database_problem

    return database_problem(url)


def _check_hosts(loaded: Loaded[Settings], command: str) -> list[Problem]:
    values, problems = loaded.values, []
    for name in ("host", "ops_host") if command in ROLES else ():
        text = getattr(values, name)
        try:
            ipaddress.ip_address("127.0.0.1" if text == "localhost" else text)
        except ValueError:
            problems.append(problem(loaded, name, "an IP address or localhost"))
    if problems or command not in (DEV, GATEWAY):
        return problems
    if not _asks_for_keys(values) and not is_loopback(values.host):
        accepted = (
            "a loopback address such as 127.0.0.1 while no keys are configured "
            "(anybody could read the stream; to listen elsewhere set --api-keys, --jwt-shared-key, "
            "--jwt-jwks, or --require-auth for the keys of `tickgate keys` alone)"
        )
        problems.append(problem(loaded, "host", accepted))
    return problems


def _asks_for_keys(values: Settings) -> bool:
    return values.require_auth or bool(values.api_keys or values.jwt_shared_key or values.jwt_jwks)


def _check_pool(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if loaded.values.db_pool_max >= loaded.values.db_pool_min:
        return []
    accepted = f"at least db_pool_min, which is {loaded.values.db_pool_min}"
    return [problem(loaded, "db_pool_max", accepted)]


def _check_reconnect(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if loaded.values.reconnect_cap_s >= loaded.values.reconnect_first_s:
        return []
    accepted = f"at least reconnect_first_s, which is {loaded.values.reconnect_first_s:g}"
    return [problem(loaded, "reconnect_cap_s", accepted)]


def _check_keys(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if command not in _SERVING or not loaded.values.api_keys:
        return []
    from gateway.keys import ApiKeys, ApiKeysError

    try:
        ApiKeys.parse(loaded.values.api_keys)
    except ApiKeysError as exc:
        return [Problem(loaded.sources["api_keys"], "", str(exc))]
    return []


def _check_tokens(loaded: Loaded[Settings], command: str) -> list[Problem]:
    values, problems = loaded.values, list[Problem]()
    if command not in _SERVING:
        return problems
    if 0 < len(values.jwt_shared_key.encode()) < _MIN_SECRET_BYTES:
        problems.append(problem(loaded, "jwt_shared_key", f"{_MIN_SECRET_BYTES} bytes or more"))
    if _PEM in values.jwt_shared_key:
        accepted = "a secret that nobody else knows (public keys are for jwt_jwks, as a JWK Set)"
        problems.append(problem(loaded, "jwt_shared_key", accepted))
    if reason := _jwks_problem(values.jwt_jwks):
        problems.append(_unreadable(loaded, _setting("jwt_jwks"), values.jwt_jwks, reason))
    return problems


def _jwks_problem(text: str) -> str:
    """Why keys are not to be read from there; empty: they are."""
    if not text.startswith(("http://", "https://")):
        return ""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as exc:
        return str(exc)
    if parts.hostname is None:
        return "there is no host in it"
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        return "anybody on the way could put keys into http://"
    return ""


def _check_proxies(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if command not in _SERVING:
        return []
    try:
        Proxies(loaded.values.trusted_proxies)
    except ProxyError as exc:
        return [Problem(loaded.sources["trusted_proxies"], "", str(exc))]
    return []


def _check_tls(loaded: Loaded[Settings], command: str) -> list[Problem]:
    values = loaded.values
    if command not in (GATEWAY, CHECK) or not values.tls_key or values.tls_certificate:
        return []
    return [problem(loaded, "tls_certificate", "a file, as tls_key is set")]


def _check_origins(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if command not in _SERVING:
        return []
    try:
        Origins(loaded.values.allowed_origins)
    except OriginError as exc:
        return [Problem(loaded.sources["allowed_origins"], "", str(exc))]
    return []


def _check_disk(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if command != DEV or not 0 < loaded.values.disk_max_bytes < MIN_DISK_BYTES:
        return []
    return [problem(loaded, "disk_max_bytes", f"at least {MIN_DISK_BYTES}, or 0 for no cap")]


def _check_watch(loaded: Loaded[Settings], command: str) -> list[Problem]:
    if command != WATCH:
        return []
    from tickgate.client.address import is_address

    problems, key, url = [], loaded.values.api_key, loaded.values.url
    if not url.startswith(("http://", "https://")) or not is_address(url):
        problems.append(problem(loaded, "url", "an http:// or https:// URL"))
    if key and not all(key.partition(":")):
        problems.append(problem(loaded, "api_key", "KEYID:SECRET"))
    return problems
