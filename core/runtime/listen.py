"""Listening sockets, and the words for one that cannot be had."""

import errno
import socket
from contextlib import closing
from typing import Final

from core.market.errors import TickgateError

# What the system says of an address that is not this machine's, or of a kind that it has not.
_NO_ADDRESS: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENODEV}


class CannotListen(TickgateError):
    """Base of the errors of a socket that cannot be had."""

    remedy: str

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host, self.port, self.reason = host, port, reason
        super().__init__(host, port, reason)

    def __str__(self) -> str:
        return f"cannot listen on {self.host} port {self.port}: {self.reason}; {self.remedy}"


class PortInUse(CannotListen):
    """A port that we are to listen on is taken, or not for this user."""

    remedy = "stop what uses it, or choose another port"


class NoSuchAddress(CannotListen):
    """An address that we are to listen on is not this machine's."""

    remedy = "choose an address that this machine has"


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Raises:
        CannotListen: it cannot be had, with the system's reason.
    """
    sock = _bind(host, port)
    try:
        sock.listen(128)
    except OSError as exc:
        sock.close()
        raise _refusal(host, port, exc) from exc
    sock.setblocking(False)
    return sock


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds *port*, or a free one for 0, for processes that share it.

    They listen with SO_REUSEPORT; this socket does not listen, so no connection comes here. The
    port is looked at first: SO_REUSEPORT alone would join another program's of the same user.

    Raises:
        CannotListen: it cannot be had, with the system's reason.
    """
    sock = _bind(host, available_port(host, port), share=True)
    sock.setblocking(False)
    return sock


def available_port(host: str, port: int) -> int:
    """*port* after a look whether it is free, or a free one for 0.

    Raises:
        CannotListen: it is not.
    """
    with closing(listen(host, port)) as sock:
        found: int = sock.getsockname()[1]
        return found


def _bind(host: str, port: int, *, share: bool = False) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.socket(family)
    except OSError as exc:  # a machine without IPv6
        raise _refusal(host, port, exc) from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
    except OSError as exc:
        sock.close()
        raise _refusal(host, port, exc) from exc
    return sock


def _refusal(host: str, port: int, error: OSError) -> CannotListen:
    kind = NoSuchAddress if error.errno in _NO_ADDRESS else PortInUse
    return kind(host, port, (error.strerror or str(error)).lower())
