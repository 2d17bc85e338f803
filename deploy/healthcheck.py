"""Health check of a container: exit code 0 when a role answers on /livez, else 1 with the reason.

usage: healthcheck.py [URL]

Without a URL it asks the gateway where the variables TICKGATE_PORT and TICKGATE_TLS_CERTIFICATE put
it; give the URL where flags say it. Of the standard library alone, so that it starts in
milliseconds.
"""

import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

_PORT = "8080"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_TIMEOUT_S = 3


def gateway_url(environ: Mapping[str, str]) -> str:
    """Of the gateway in this container, by the variables that it reads, too."""
    scheme = "https" if environ.get("TICKGATE_TLS_CERTIFICATE", "").strip() else "http"
    return f"{scheme}://127.0.0.1:{environ.get('TICKGATE_PORT', '').strip() or _PORT}/livez"


def main(url: str) -> int:
    """Ask *url*; the exit code."""
    # A proxy in the container's environment is not the way to our own loopback.
    direct = urllib.request.ProxyHandler({})
    try:
        by_tls = urllib.request.HTTPSHandler(context=_context(url))
        opener = urllib.request.build_opener(direct, by_tls)
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, ValueError) as exc:  # HTTPError and URLError are OSErrors
        sys.stderr.write(f"{url}: {exc}\n")
        return 1


def _context(url: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if urlsplit(url).hostname in _LOOPBACK:  # the certificate is for the name that clients use
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else gateway_url(os.environ)))
