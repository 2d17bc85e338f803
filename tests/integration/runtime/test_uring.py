"""Sends through a submission ring: what sockets take, in every way that a ring can be set up."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from core.runtime.uring import BUFFER, MESSAGE, SETUPS, Ring, RingUnavailable

PAIRS = 20
ENTRIES = 16  # fewer than the sockets, so that the ring goes round


@pytest.fixture(params=SETUPS)
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    try:
        made = Ring(ENTRIES, setups=(request.param,))
    except RingUnavailable as exc:
        pytest.skip(f"frames go out one by one here: {exc}")
    yield made
    made.close()


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as stack:
        found = [socket.socketpair() for _ in range(PAIRS)]
        for ours, theirs in found:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            ours.setblocking(False)
        yield found


def test_every_socket_gets_its_own_and_errors_are_told_apart(
    ring: Ring, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    pairs[3][1].close()
    descriptors = np.array([*(ours.fileno() for ours, _ in pairs), -1], np.int32)
    for number in range(10):
        frame = b"frame %d" % number
        expected = [len(frame)] * PAIRS + [-errno.EBADF]
        expected[3] = -errno.EPIPE

        assert ring.send(descriptors, frame).tolist() == expected
        for place, (_, theirs) in enumerate(pairs):
            if place != 3:
                assert theirs.recv(100) == frame


def test_messages_are_put_together_from_buffers(
    ring: Ring, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    text = b"abcdefghijklmnopqrstuvwxyz"
    buffers = np.zeros(2 * PAIRS, BUFFER)
    buffers["address"] = np.frombuffer(text, np.uint8).ctypes.data + np.arange(2 * PAIRS) % 20
    buffers["length"] = 2
    messages = np.zeros(PAIRS, MESSAGE)
    messages["buffers"] = buffers.ctypes.data + np.arange(PAIRS) * 2 * BUFFER.itemsize
    messages["count"] = 2
    descriptors = np.array([ours.fileno() for ours, _ in pairs], np.int32)

    assert ring.send_messages(descriptors, messages).tolist() == [4] * PAIRS

    got = [theirs.recv(100) for _, theirs in pairs]
    places = [2 * number % 20 for number in range(PAIRS)]
    assert got == [text[at : at + 2] + text[at + 1 : at + 3] for at in places]


def test_a_full_socket_takes_a_part_and_then_nothing(
    ring: Ring, pairs: list[tuple[socket.socket, socket.socket]]
) -> None:
    large = bytes(10_000_000)
    descriptors = np.array([pairs[0][0].fileno()], np.int32)

    (taken,) = ring.send(descriptors, large).tolist()
    again = ring.send(descriptors, large).tolist()

    assert 0 < taken < len(large)
    assert again == [-errno.EAGAIN]


def test_a_way_that_the_kernel_does_not_know_is_left_for_the_next(ring: Ring) -> None:
    Ring(ENTRIES, setups=(1 << 31, SETUPS[-1])).close()

    with pytest.raises(RingUnavailable, match="Invalid argument"):
        Ring(ENTRIES, setups=(1 << 31,))
