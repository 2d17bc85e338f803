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
    sock = _bind(host, port)
    try:
        sock.listen(128)
    except OSError as exc:
        sock.close()
        raise PortInUse(host, port, _reason(exc)) from exc
    sock.setblocking(False)
    return sock


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds *port*, or a free one for 0, for processes that share it.

    They listen with SO_REUSEPORT; this socket does not listen, so no connection comes here. The
    port is looked at first: SO_REUSEPORT alone would join another program's of the same user.

    Raises:
        PortInUse: it cannot be had, with the system's reason.
    """
    sock = _bind(host, available_port(host, port), share=True)
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


def _bind(host: str, port: int, *, share: bool = False) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
    except OSError as exc:
        sock.close()
        raise PortInUse(host, port, _reason(exc)) from exc
    return sock


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
