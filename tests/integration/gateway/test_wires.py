"""The plain and the fast way to the clients: the same bytes, whatever the sockets take."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from core.runtime.uring import Ring, RingUnavailable
from gateway.channels import Channel, Codec
from gateway.frames import Fragment
from gateway.ring import RingWire, best_wire
from gateway.routes import Group, Send, Style, Variant
from gateway.sheet import Sheet, Shelf, lay, packed
from gateway.wire import NOT_DIRECT, PlainWire, Wire

CLIENTS = 40
STYLE = Style(Codec.JSON, 100)


class Reader:
    """A client with a real socket: what it was sent, what was kept for it, and why."""

    def __init__(self, *, is_direct: bool = True) -> None:
        self.style, self.group = STYLE, None
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        self.descriptor = self.ours.fileno() if is_direct else NOT_DIRECT
        self.kept, self.errors = b"", list[OSError]()

    group: Group | None

    def send(self, framed: bytes) -> int:
        return self.ours.send(framed)

    def write(self, piece: bytes) -> None:
        self.kept += piece

    def stuck(self, piece: bytes, error: OSError) -> None:
        self.errors.append(error)
        if isinstance(error, BlockingIOError):
            self.kept += piece

    def offer(self, send: Send) -> None:
        raise AssertionError("no session of mode latest is here")

    def received(self) -> bytes:
        found = b""
        while True:
            try:
                found += self.theirs.recv(1 << 20)
            except BlockingIOError:
                return found


@pytest.fixture(params=[True, False], ids=["ring", "plain"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with best_wire(allowed=request.param) as found:
        if request.param and isinstance(found, PlainWire):
            pytest.skip("the system offers no submission ring, or forbids it")
        yield found


@pytest.fixture
def readers() -> Iterator[list[Reader]]:
    """All direct but one."""
    with ExitStack() as stack:
        found = [Reader(is_direct=number != 4) for number in range(CLIENTS)]
        for reader in found:
            stack.enter_context(reader.ours)
            stack.enter_context(reader.theirs)
        yield found


def sheet(pieces: int, size: int) -> Sheet:
    """A batch each for as many groups as there are clients: of the first, the first two, …"""
    fragments = {}
    for code in range(1, pieces + 1):
        variant = Variant(Channel.TRADES, str(code), Codec.JSON, None)
        variant.code = code
        fragments[variant] = Fragment.of([b"%07d" % code * (size // 7)], Codec.JSON)
    shelf = Shelf(fragments, None, codec=Codec.JSON, limit_bytes=16_384)
    return lay(shelf, [packed(range(1, n + 2)) for n in range(CLIENTS)])


def test_the_same_frame_to_all(wire: Wire, readers: list[Reader]) -> None:
    wire.one_to_all(b"few", readers[:3])
    wire.one_to_all(b"all", readers)

    assert [reader.received() for reader in readers[:3]] == [b"fewall"] * 3
    assert [reader.received() for reader in readers[3:]] == [b"all"] * (CLIENTS - 3)


def test_each_its_own(wire: Wire, readers: list[Reader]) -> None:
    made = sheet(CLIENTS, 700)

    # One group of two, one of many, and some of one each; not everybody gets something.
    wire.each_its_own(
        made, [(1, readers[0:2]), (2, readers[2:14]), *((n, [readers[n]]) for n in range(14, 28))]
    )

    numbers = [1] * 2 + [2] * 12 + list(range(14, 28))
    assert [reader.received() for reader in readers[:28]] == [made.framed(n) for n in numbers]
    assert [reader.received() for reader in readers[28:]] == [b""] * 12


def test_what_a_socket_does_not_take_is_kept_for_its_client_alone(
    wire: Wire, readers: list[Reader]
) -> None:
    full, gone = readers[5], readers[6]
    gone.theirs.close()
    sent = b""
    large = bytes(1_000_000)
    wire.one_to_all(large, [full, *readers[7:40]])
    for reader in readers[7:40]:
        assert reader.kept
        assert len(reader.received() + reader.kept) == len(large)
    made = sheet(CLIENTS, 7)

    wire.each_its_own(made, [(n, [reader]) for n, reader in enumerate(readers)])
    sent = made.framed(5)

    assert full.received() + full.kept == large + sent
    assert [type(error) for error in full.errors] == [BlockingIOError]
    assert [error.errno for error in gone.errors] == [errno.EPIPE]
    assert readers[28].received() == made.framed(28)


def test_a_batch_of_more_pieces_than_a_system_call_takes(wire: Wire, readers: list[Reader]) -> None:
    fragments = {}
    for code in range(1, 2_001):
        variant = Variant(Channel.TRADES, str(code), Codec.JSON, None)
        variant.code = code
        fragments[variant] = Fragment.of([b"%d" % code], Codec.JSON)
    shelf = Shelf(fragments, None, codec=Codec.JSON, limit_bytes=16_384)
    made = lay(shelf, [packed(range(1, 2_001))] * CLIENTS)

    wire.each_its_own(made, [(n, [reader]) for n, reader in enumerate(readers)])

    assert {reader.received() for reader in readers} == {made.framed(0)}


def test_a_ring_that_fails_says_so(readers: list[Reader]) -> None:
    try:
        ring = Ring(16)
    except RingUnavailable as exc:
        pytest.skip(str(exc))
    ring.close()

    with pytest.raises(OSError, match="io_uring: Bad file descriptor"):
        RingWire(ring).one_to_all(b"all", readers)
