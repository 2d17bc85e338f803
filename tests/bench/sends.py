"""Ways to hand one frame to very many sockets, beside each other: `python -m tests.bench.sends`.

The designs that docs/adr/0001-send-loop.md and 0003-submission-ring.md choose from. A child process
reads; processor time is that of the sender alone. All designs have their turn in every round.
"""

import asyncio
import os
import random
import resource
import selectors
import socket
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt
import uvloop

from core.runtime.uring import BUFFER, MESSAGE, Int32s, Ring

Ints = npt.NDArray[np.int64]

_CLIENTS = 1_000
_ROUNDS = 15
_REPEATS = 10  # of each design in a round
_PAUSE_S = 0.1  # for the reader
_WORKS = ((512, 1), (6_000, 20), (48_000, 20))  # bytes of a frame, parts that it is joined of


@dataclass
class Work:
    """A frame of each client, whole and in parts; the parts are shared by the clients."""

    parts: list[list[bytes]]
    whole: list[bytes] = field(init=False)
    shelf: bytes = field(init=False)  # all parts, one behind the other
    at: Ints = field(init=False)  # where each client's parts are in it, and how long
    length: Ints = field(init=False)

    def __post_init__(self) -> None:
        self.whole = [b"".join(parts) for parts in self.parts]
        known: dict[bytes, int] = {}
        size = 0
        for part in (part for parts in self.parts for part in parts):
            if part not in known:
                known[part] = size
                size += len(part)
        self.shelf = b"".join(known)
        self.at = np.array([[known[part] for part in parts] for parts in self.parts])
        self.length = np.array([[len(part) for part in parts] for parts in self.parts])


class Peer(asyncio.Protocol):
    """One connection, with its socket beside the transport."""

    def __init__(self, peers: list["Peer"], full: asyncio.Event) -> None:
        self._peers, self._full = peers, full

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast("asyncio.Transport", transport).write
        pseudo = transport.get_extra_info("socket")
        self.socket = socket.SocketType(pseudo.family, pseudo.type, pseudo.proto, pseudo.fileno())
        self.fd = pseudo.fileno()
        self._peers.append(self)
        if len(self._peers) == _CLIENTS:
            self._full.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.socket.detach()


def by_transport(peers: Sequence[Peer], work: Work) -> None:
    """uvloop's transport, which writes at once when nothing waits."""
    for peer, frame in zip(peers, work.whole, strict=True):
        peer.write(frame)


def by_send(peers: Sequence[Peer], work: Work) -> None:
    """send() on the transport's socket; what is left over would go to the transport."""
    for peer, frame in zip(peers, work.whole, strict=True):
        peer.socket.send(frame)


def by_os_write(peers: Sequence[Peer], work: Work) -> None:
    """write() on the descriptor."""
    for peer, frame in zip(peers, work.whole, strict=True):
        os.write(peer.fd, frame)


def by_join_and_send(peers: Sequence[Peer], work: Work) -> None:
    """Each client's parts joined, then send()."""
    for peer, parts in zip(peers, work.parts, strict=True):
        peer.socket.send(b"".join(parts))


def by_sendmsg(peers: Sequence[Peer], work: Work) -> None:
    """Each client's parts given to sendmsg(), which copies them once less."""
    for peer, parts in zip(peers, work.parts, strict=True):
        peer.socket.sendmsg(parts)


class ByRing:
    """Through a submission ring: whole frames, or parts that are not joined."""

    def __init__(self) -> None:
        self._ring = Ring()

    def same(self, peers: Sequence[Peer], work: Work) -> None:
        """One frame to all."""
        self._ring.send(_descriptors(peers), work.whole[0])

    def parts(self, peers: Sequence[Peer], work: Work) -> None:
        """Each client's parts, as places in one buffer."""
        number, each = work.at.shape
        buffers = np.empty(number * each, BUFFER)
        buffers["address"] = work.at.reshape(-1) + np.frombuffer(work.shelf, np.uint8).ctypes.data
        buffers["length"] = work.length.reshape(-1)
        wanted = np.zeros(number, MESSAGE)
        wanted["buffers"] = buffers.ctypes.data + np.arange(number) * each * BUFFER.itemsize
        wanted["count"] = each
        self._ring.send_messages(_descriptors(peers), wanted)


def _descriptors(peers: Sequence[Peer]) -> Int32s:
    return np.array([peer.fd for peer in peers], np.int32)


def by_send_same(peers: Sequence[Peer], work: Work) -> None:
    """One frame to all by send()."""
    frame = work.whole[0]
    for peer in peers:
        peer.socket.send(frame)


def designs() -> dict[str, Callable[[Sequence[Peer], Work], None]]:
    """By name; needs a system that has rings."""
    ring = ByRing()
    return {
        "transport.write": by_transport,
        "socket.send": by_send,
        "os.write": by_os_write,
        "join, socket.send": by_join_and_send,
        "socket.sendmsg": by_sendmsg,
        "ring, parts": ring.parts,
        "same, socket.send": by_send_same,
        "same, ring": ring.same,
    }


def works() -> list[tuple[int, Work]]:
    """Frames of all sizes, the same in every run."""
    rng = random.Random(1)
    made = []
    for size, count in _WORKS:
        pool = [rng.randbytes(size // count) for _ in range(100)]
        parts = [rng.sample(pool, count) for _ in range(_CLIENTS)]
        made.append((size, Work(parts)))
    return made


async def measure() -> None:
    """Print, per size and design, microseconds of processor time per frame."""
    peers: list[Peer] = []
    full = asyncio.Event()
    server = await asyncio.get_running_loop().create_server(
        lambda: Peer(peers, full), "127.0.0.1", 0, backlog=_CLIENTS
    )
    port = server.sockets[0].getsockname()[1]
    command = (sys.executable, "-m", "tests.bench.sends", "--read", str(port))
    reader = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(30):
            await full.wait()
        for size, work in works():
            await _compare(peers, size, work)
    finally:
        reader.terminate()
        await reader.wait()


async def _compare(peers: Sequence[Peer], size: int, work: Work) -> None:
    tried = designs()
    took: dict[str, list[float]] = {name: [] for name in tried}
    for _ in range(_ROUNDS):
        for name, design in tried.items():
            used = 0.0
            for _ in range(_REPEATS):
                before = _cpu_s()
                design(peers, work)
                used += _cpu_s() - before
                await asyncio.sleep(_PAUSE_S)
            took[name].append(used / _REPEATS / len(peers) * 1e6)
    for name, samples in took.items():
        low, middle, high = statistics.quantiles(samples, n=4)
        print(f"{size:6} B  {name:18} {middle:6.2f} us  ({low:.2f} to {high:.2f})", flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read(port: int) -> None:
    """The child: take in everything on all connections."""
    selector, buffer = selectors.DefaultSelector(), bytearray(1 << 20)
    for _ in range(_CLIENTS):
        connection = socket.create_connection(("127.0.0.1", port))
        selector.register(connection, selectors.EVENT_READ, connection)
    while True:
        for key, _ in selector.select():
            if not key.data.recv_into(buffer):
                return


def main(argv: Sequence[str]) -> None:
    """Pinned: the sender to the first core, the reader to the last."""
    cores = sorted(os.sched_getaffinity(0))
    reading = argv[:1] == ["--read"]
    os.sched_setaffinity(0, {cores[-1 if reading else 0]})
    if reading:
        read(int(argv[1]))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure())


if __name__ == "__main__":
    main(sys.argv[1:])
