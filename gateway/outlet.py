"""The way out to one client: finished frames into its socket, and what happens when it is slow."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

from gateway.conflation import Conflation
from gateway.frames import Fragment
from gateway.wire import NOT_DIRECT

if TYPE_CHECKING:
    from gateway.connection import Shared

_NOTSENT_LOWAT_BYTES: Final = 16_384  # may wait in the kernel unseen, besides TCP's window
_SNDBUF_BYTES: Final = 32_768  # for systems without that option; the kernel doubles it


class Outlet(asyncio.Protocol):
    """Writes to a client; the base of a connection, so that both are one small object.

    Frames go straight into the socket while it takes them: that is one system call and nothing
    else. What it does not take waits in the transport's buffer, and while anything waits there
    the client is behind. Then all writes go through the transport, which keeps their order. A
    session of mode ``latest`` that is behind is written nothing: the newest of each symbol waits
    in a conflation instead.
    """

    __slots__ = (
        "_direct",
        "_missed",
        "_socket",
        "_transport",
        "_unsent",
        "_written_bytes",
        "descriptor",
        "send",
        "shared",
    )
    shared: "Shared"
    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._unsent: deque[tuple[int, int]] | None = None  # (end in bytes written, since ns)
        self._written_bytes = 0  # through the transport
        self._missed: Conflation | None = None
        self._socket: socket.SocketType | None = None
        self._direct: Callable[[bytes], int] = len  # into the socket, wherever that is possible
        # What data go through: directly, behind what waits, or (len) nowhere, as it is over.
        self.send: Callable[[bytes], int] = len
        self.descriptor = NOT_DIRECT

    def unsent_bytes(self) -> int:
        """What the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()

    def open(self, transport: asyncio.BaseTransport) -> None:
        """Write to *transport* from now on."""
        transport = cast("asyncio.Transport", transport)  # uvloop's is one without deriving from it
        self._transport = transport
        transport.set_write_buffer_limits(high=0)  # told of the first byte that is left over
        self._direct = self._through_transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            _bound_kernel_buffer(sock)
            if transport.get_extra_info("sslcontext") is None:
                self._socket = socket.SocketType(sock.family, sock.type, sock.proto, sock.fileno())
                self._direct = self._socket.send
        self._go_direct()

    def stop(self) -> None:
        """No more data for this client."""
        self.send, self.descriptor = len, NOT_DIRECT

    def shut(self) -> None:
        """The connection is lost. The transport closes the socket's descriptor, nobody else."""
        self._direct = len
        self.stop()
        if self._socket is not None:
            self._socket.detach()

    def pause_writing(self) -> None:
        self._unsent = deque([(self._written_bytes, self.shared.monotonic_ns())])
        if self.send is not len:
            self.send, self.descriptor = self.send_behind, NOT_DIRECT

    def resume_writing(self) -> None:
        self._unsent = None
        if self.send is not len:
            self._go_direct()

    def send_behind(self, framed: bytes) -> int:
        """Take in data behind what waits."""
        return self._through_transport(framed)

    def unsent_since_ns(self) -> int | None:
        """When the oldest unsent bytes were written; None if there are none."""
        unsent = self._unsent
        if unsent is None:
            return None
        sent = self._written_bytes - self._transport.get_write_buffer_size()
        while len(unsent) > 1 and unsent[0][0] <= sent:
            unsent.popleft()
        return unsent[0][1]

    def push(self, piece: bytes) -> None:
        """Send *piece* behind all that was sent before, also when there is no more data."""
        if self._unsent is not None:
            self.write(piece)
            return
        try:
            taken = self._direct(piece)
        except OSError as error:
            self.stuck(piece, error)
        else:
            if taken != len(piece):
                self.write(piece[taken:])

    def stuck(self, piece: bytes, error: OSError) -> None:
        """The socket took nothing of *piece*."""
        if isinstance(error, BlockingIOError):
            self.write(piece)
        # Else the connection is broken: the transport finds that out itself, and says so.

    def write(self, piece: bytes) -> None:
        """Write through the transport, which keeps what the kernel does not take."""
        if self._transport.is_closing():
            return
        unsent = self._unsent
        self._written_bytes = len(piece) + (0 if unsent is None else self._written_bytes)
        self._transport.write(piece)
        if unsent is not None and unsent is self._unsent:
            unsent.append((self._written_bytes, self.shared.monotonic_ns()))

    def miss(self, parts: Sequence[Fragment]) -> int:
        """Hold *parts* for later; how many others they replace."""
        if self._missed is None:
            self._missed = Conflation()
        return self._missed.add(parts)

    def missed(self) -> list[Fragment]:
        """Hand over what was held."""
        held, self._missed = self._missed, None
        return [] if held is None else held.take()

    def _go_direct(self) -> None:
        self.send = self._direct
        if self._socket is not None:
            self.descriptor = self._socket.fileno()

    def _through_transport(self, framed: bytes) -> int:
        self.write(framed)
        return len(framed)


def _bound_kernel_buffer(sock: socket.socket) -> None:
    """Keep what a stalled client hides in the kernel small, so that its lag is seen."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        option, size = socket.TCP_NOTSENT_LOWAT, _NOTSENT_LOWAT_BYTES
        sock.setsockopt(socket.IPPROTO_TCP, option, size)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SNDBUF_BYTES)
