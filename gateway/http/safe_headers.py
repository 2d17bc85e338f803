"""What keeps browsers from misusing an answer, whoever makes it. Pure."""

from collections.abc import Mapping
from typing import Final

SAFE_HEADERS: Final[Mapping[str, str]] = {
    "Server": "tickgate",  # not which versions of what
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Styles: the chart library adds a <style> of its own for the attribution.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
}
_ONLY_TLS: Final = "max-age=31536000"  # a browser that came by TLS once comes so for a year
_BY_TLS: Final = {**SAFE_HEADERS, "Strict-Transport-Security": _ONLY_TLS}


def safe_headers(*, secure: bool) -> Mapping[str, str]:
    """Those of an answer; *secure*: it goes by TLS."""
    return _BY_TLS if secure else SAFE_HEADERS
