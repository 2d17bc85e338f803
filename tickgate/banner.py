"""What `tickgate dev` tells once it runs. Pure."""

from collections.abc import Sequence
from pathlib import Path

from core.runtime.config import mask_value
from ingest.spec import FeedSpec
from tickgate.settings import Settings

_GIB = 1 << 30


def gateway_url(settings: Settings) -> str:
    """Where the page is, seen from this machine."""
    host = settings.host
    if host in ("0.0.0.0", "localhost"):
        host = "127.0.0.1"
    if host == "::":
        host = "::1"
    scheme = "https" if settings.tls_certificate else "http"
    where = f"[{host}]" if ":" in host else host
    return f"{scheme}://{where}:{settings.port}/"


def banner(settings: Settings, specs: Sequence[FeedSpec], *, data_dir: Path) -> str:
    """The address first, then what runs, where data goes and how to stop."""
    lines = [
        ("", ""),
        ("open", gateway_url(settings)),
        *(("feed", mask_value(spec.text)) for spec in specs),
        ("data", _data(settings, data_dir)),
        ("access", _access(settings)),
        ("stop", "Ctrl-C, twice to end at once"),
        ("", ""),
    ]
    return "\n".join(f"  {word:<8}{text}".rstrip() for word, text in lines)


def _data(settings: Settings, data_dir: Path) -> str:
    if settings.redis_url and settings.database_url:
        return "on the servers that the settings name"
    cap = settings.disk_max_bytes
    return f"{data_dir}" + (f", at most {cap / _GIB:.3g} GiB" if cap else "")


def _access(settings: Settings) -> str:
    if settings.api_keys or settings.jwt_shared_key or settings.jwt_jwks or settings.require_auth:
        return "with an API key or a token"
    return "from this machine only, because no API keys are configured"
