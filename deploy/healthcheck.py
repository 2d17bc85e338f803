"""Health check of a container: exit code 0 when a role answers on /livez, else 1 with the reason.

usage: healthcheck.py [URL]

Of the standard library alone, so that it starts in milliseconds.
"""

import sys
import urllib.error
import urllib.request

_GATEWAY = "http://127.0.0.1:8080/livez"
_TIMEOUT_S = 3


def main(url: str = _GATEWAY) -> int:
    """Ask *url*; the exit code."""
    # A proxy in the container's environment is not the way to our own loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, ValueError) as exc:  # HTTPError and URLError are OSErrors
        sys.stderr.write(f"{url}: {exc}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
