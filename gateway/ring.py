"""Batches to very many clients by few system calls: the fast way where the system has it."""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt

from core.runtime.uring import BUFFER, MESSAGE, Int32s, Ring, RingUnavailable
from gateway.sheet import Ints, Sheet
from gateway.wire import NOT_DIRECT, PLAIN, Client, Receivers, Wire, hand_over

Buffers = npt.NDArray[np.void]
"""An array of :data:`core.runtime.uring.BUFFER`."""

_LOG: Final = logging.getLogger(__name__)
_MANY: Final = 32  # clients of one frame; for fewer send() is as fast
_SHARED: Final = 8  # clients of one batch from which on its pieces are worth joining


@contextmanager
def best_wire(*, allowed: bool = True) -> Iterator[Wire]:
    """The ring's way where the system offers it and it is *allowed*, else the plain one."""
    ring = _ring() if allowed else None
    if ring is None:
        yield PLAIN
        return
    try:
        yield RingWire(ring)
    finally:
        ring.close()


def _ring() -> Ring | None:
    try:
        return Ring()
    except RingUnavailable as exc:
        _LOG.info("frames go out one by one: %s", exc)
        return None


class RingWire:
    """Sends through a ring, in any number at a time, without joining frames of shared pieces.

    What a socket does not take is its client's to keep, as with ``send()``.
    """

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def one_to_all(self, framed: bytes, clients: Sequence[Client]) -> None:
        if len(clients) < _MANY:
            hand_over(framed, clients)
            return
        taken = self._ring.send(_descriptors(clients), framed)
        for at in np.flatnonzero(taken != len(framed)).tolist():
            _make_good(clients[at], framed, int(taken[at]))

    def each_its_own(self, sheet: Sheet, receivers: Sequence[Receivers]) -> None:
        """All in one go; a batch for many clients is joined first, as one buffer costs less."""
        numbers = np.array([number for number, _ in receivers])
        each = np.array([len(some) for _, some in receivers])
        clients = [client for _, some in receivers for client in some]
        rows = slice(sheet.rows[numbers[0]], sheet.rows[numbers[-1] + 1])
        pieces = _buffers(sheet, rows)
        first = pieces.ctypes.data + (sheet.rows[numbers] - rows.start) * BUFFER.itemsize
        count = sheet.rows[numbers + 1] - sheet.rows[numbers]
        crowded = np.flatnonzero(each >= _SHARED)
        joined = b"".join([sheet.framed(number) for number in numbers[crowded].tolist()])
        whole = _wholes(joined, sheet.size[numbers[crowded]])
        first[crowded] = whole.ctypes.data + np.arange(len(crowded)) * BUFFER.itemsize
        count[crowded] = 1
        messages = np.zeros(len(clients), MESSAGE)
        messages["buffers"], messages["count"] = np.repeat(first, each), np.repeat(count, each)
        taken = self._ring.send_messages(_descriptors(clients), messages)
        wanted = np.repeat(numbers, each)
        for at in np.flatnonzero(taken != sheet.size[wanted]).tolist():
            _make_good(clients[at], sheet.framed(int(wanted[at])), int(taken[at]))


def _descriptors(clients: Sequence[Client]) -> Int32s:
    return np.array([client.descriptor for client in clients], np.int32)


def _buffers(sheet: Sheet, rows: slice) -> Buffers:
    """Some rows of *sheet* as the kernel wants them; valid as long as *sheet* lives."""
    at = sheet.at[rows]
    buffer_at = np.frombuffer(sheet.buffer, np.uint8).ctypes.data
    border = len(sheet.buffer)
    heads_at = np.frombuffer(sheet.heads, np.uint8).ctypes.data - border
    found = np.empty(len(at), BUFFER)
    found["address"] = at + np.where(at < border, buffer_at, heads_at)
    found["length"] = sheet.length[rows]
    return found


def _wholes(joined: bytes, sizes: Ints) -> Buffers:
    """The batches of those *sizes* that are *joined*, as the kernel wants them."""
    found = np.empty(len(sizes), BUFFER)
    start = np.frombuffer(joined or b"-", np.uint8).ctypes.data
    found["address"] = start + np.cumsum(sizes) - sizes
    found["length"] = sizes
    return found


def _make_good(client: Client, framed: bytes, taken: int) -> None:
    """The ring sent *taken* bytes of *framed*, or failed with that error."""
    if client.descriptor == NOT_DIRECT or taken == -errno.EMSGSIZE:
        hand_over(framed, (client,))
    elif taken < 0:
        client.stuck(framed, OSError(-taken, "not sent"))
    else:
        client.write(framed[taken:])
