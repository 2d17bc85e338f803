"""How finished batches get to clients: the plain way, and what a faster one must do. Pure.

The faster one is :class:`gateway.ring.RingWire`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from gateway.sheet import Sheet

if TYPE_CHECKING:
    from gateway.routes import Group, Send, Style


NOT_DIRECT: Final = -1
"""In place of a descriptor, where there is more to sending than a socket's send()."""


class Client(Protocol):
    """A subscriber as the hub sees it. The hub alone changes ``style`` and ``group``."""

    style: "Style"
    group: "Group | None"  # None at first
    descriptor: int
    """Of the socket that send() hands over to, or :data:`NOT_DIRECT`."""
    send: Callable[[bytes], int]
    """Hands finished frames over: as a socket's send(), which it mostly is, and in no time."""

    def write(self, piece: bytes) -> None:
        """Keep what send() did not take, and see to it that it is sent before anything else."""
        ...

    def stuck(self, piece: bytes, error: OSError) -> None:
        """send() took nothing of *piece*."""
        ...

    def offer(self, send: "Send") -> None:
        """Hand over to a session of mode ``latest``: what is not sent in time is replaced."""
        ...


Receivers = tuple[int, Sequence[Client]]
"""The number of a batch in a sheet, and the clients that get it."""


class Wire(Protocol):
    """Hands batches over to clients, and does not wait for any of them."""

    def one_to_all(self, framed: bytes, clients: Sequence[Client]) -> None:
        """The same frames to each client."""
        ...

    def each_its_own(self, sheet: Sheet, receivers: Sequence[Receivers]) -> None:
        """Batches of *sheet* to those that are to have them; no client twice."""
        ...


class PlainWire:
    """One ``send()`` for each client: everywhere, and over everything."""

    def one_to_all(self, framed: bytes, clients: Sequence[Client]) -> None:
        hand_over(framed, clients)

    def each_its_own(self, sheet: Sheet, receivers: Sequence[Receivers]) -> None:
        for number, clients in receivers:
            hand_over(sheet.framed(number), clients)


PLAIN: Final = PlainWire()


def hand_over(framed: bytes, clients: Iterable[Client]) -> None:
    """Send finished frames to *clients*.

    A slow client is its owner's trouble; nobody waits for it.
    """
    size = len(framed)
    for client in clients:
        try:
            taken = client.send(framed)
        except OSError as error:
            client.stuck(framed, error)
        else:
            if taken != size:
                client.write(framed[taken:])
