"""Listening sockets, and the words for one that cannot be had."""

import socket
from contextlib import closing

from core.market.errors import TickgateError


class PortInUse(TickgateError):
    """A port that we are to listen on cannot be had."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host, self.port, self.reason = host, port, reason
        super().__init__(host, port, reason)

    def __str__(self) -> str:
        return (
            f"cannot listen on {self.host} port {self.port}: {self.reason}; "
            "stop what uses it, or choose another port"
        )


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        PortInUse: it cannot be had, with the system's reason.
    """
    address = "127.0.0.1" if host == "localhost" else host
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(128)
    except OSError as exc:
        sock.close()
        raise PortInUse(host, port, (exc.strerror or str(exc)).lower()) from exc
    sock.setblocking(False)
    return sock


def available_port(host: str, port: int) -> int:
    """*port* after a look whether it is free, or a free one for 0.

    Raises:
        PortInUse: it is not.
    """
    with closing(listen(host, port)) as sock:
        found: int = sock.getsockname()[1]
        return found
