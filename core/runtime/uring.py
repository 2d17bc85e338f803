"""A submission ring: very many sends on very many sockets by one system call.

Source: the manual pages io_uring_setup(2) and io_uring_enter(2), and <linux/io_uring.h>, which
fix the numbers and layouts here. They are the same on all architectures that asyncio runs on.
"""

import ctypes
import errno
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from core.market.errors import TickgateError

Int32s = npt.NDArray[np.int32]

_SETUP, _ENTER = 425, 426  # numbers of the system calls
_SUBMISSIONS_AT, _ENTRIES_AT = 0, 0x10000000  # offsets of the two mappings
_WAIT: Final = 1  # IORING_ENTER_GETEVENTS
_SENDMSG, _SEND = 9, 26  # IORING_OP_…
_NOW: Final = 0x40 | 0x4000  # MSG_DONTWAIT, MSG_NOSIGNAL

_SUBMIT_ALL, _ONE_ISSUER, _DEFER, _NO_ARRAY = 1 << 7, 1 << 12, 1 << 13, 1 << 16
SETUPS: Final = (
    _SUBMIT_ALL | _ONE_ISSUER | _DEFER | _NO_ARRAY,  # Linux 6.6
    _SUBMIT_ALL | _ONE_ISSUER | _DEFER,  # 6.1
    _SUBMIT_ALL,  # 5.18
)
"""Ways to set a ring up, best first."""

_PASSING: Final = {errno.EINTR, errno.EAGAIN, errno.EBUSY}  # a signal, or a moment without memory
_MOST_TRIES: Final = 1_000
_COUNTER_MASK: Final = 0xFFFFFFFF

_PARAMS: Final = struct.Struct("<10I 8IQ 8IQ")
_ENTRY: Final = np.dtype(
    {
        "names": ["opcode", "fd", "address", "length", "flags", "tag"],
        "formats": ["u1", "<i4", "<u8", "<u4", "<u4", "<u8"],
        "offsets": [0, 4, 16, 24, 28, 32],
        "itemsize": 64,
    }
)
_RESULT: Final = np.dtype([("tag", "<u8"), ("result", "<i4"), ("flags", "<u4")])
MESSAGE: Final = np.dtype(
    {
        "names": ["buffers", "count"],
        "formats": ["<u8", "<u8"],
        "offsets": [16, 24],
        "itemsize": 56,
    }
)
"""``struct msghdr`` of 64-bit systems: the address of its buffers, and how many there are."""

BUFFER: Final = np.dtype([("address", "<u8"), ("length", "<u8")])
"""``struct iovec`` of 64-bit systems."""


class RingUnavailable(TickgateError):
    """The system offers no submission ring, or forbids it: send with ``send()``."""


class _Params(NamedTuple):
    """``struct io_uring_params`` as the kernel filled it; offsets into the first mapping."""

    entries: int
    results: int
    array_at: int
    tail_at: int
    results_head_at: int
    results_tail_at: int
    results_at: int

    @property
    def size(self) -> int:
        """Bytes of the first mapping."""
        results = self.results_at + self.results * _RESULT.itemsize
        return max(results, self.array_at + 4 * self.entries)


class Ring:
    """Sends that never wait, thousands at a time. For one thread; the caller closes it.

    What a socket does not take at once is not sent: each result is the number of bytes taken, or
    minus the error's number, as of ``send()`` with MSG_DONTWAIT. All is over when a call returns,
    so buffers need to live only that long.
    """

    def __init__(self, entries: int = 4096, *, setups: Sequence[int] = SETUPS) -> None:
        """*entries* are submitted by one system call; a power of two. *setups* are tried in turn.

        Raises:
            RingUnavailable: none of them works here.
        """
        self._system = _system_call()
        self._descriptor, setup, params = _set_up(self._system, entries, setups)
        try:
            self._map(params, setup)
        except (OSError, ValueError) as exc:
            os.close(self._descriptor)
            raise RingUnavailable(f"io_uring: its memory cannot be mapped: {exc}") from exc

    def send(self, descriptors: Int32s, frame: bytes) -> Int32s:
        """Send *frame* to each socket; the results, in their order."""
        address = np.array([np.frombuffer(frame, np.uint8).ctypes.data], np.uint64)
        return self._submit(_SEND, descriptors, address, len(frame))

    def send_messages(self, descriptors: Int32s, messages: npt.NDArray[np.void]) -> Int32s:
        """Send to each socket its own of *messages*, an array of :data:`MESSAGE`; the results.

        One of more than 1,024 buffers is refused: EMSGSIZE.
        """
        first = np.uint64(messages.ctypes.data)
        steps = np.arange(len(messages), dtype=np.uint64) * np.uint64(MESSAGE.itemsize)
        return self._submit(_SENDMSG, descriptors, first + steps, 1)

    def close(self) -> None:
        """Give the ring back to the system; it cannot be used any more."""
        os.close(self._descriptor)

    def _map(self, params: _Params, setup: int) -> None:
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._queues = mmap.mmap(self._descriptor, params.size, flags, offset=_SUBMISSIONS_AT)
        size = params.entries * _ENTRY.itemsize
        entries = mmap.mmap(self._descriptor, size, flags, offset=_ENTRIES_AT)
        self._capacity = params.entries
        self._entries = np.frombuffer(entries, _ENTRY, params.entries)
        self._entries["flags"] = _NOW
        self._entries["tag"] = np.arange(params.entries)
        self._result_capacity = params.results
        self._results = np.frombuffer(self._queues, _RESULT, params.results, params.results_at)
        self._tail = self._counter(params.tail_at)
        self._results_head = self._counter(params.results_head_at)
        self._results_tail = self._counter(params.results_tail_at)
        if not setup & _NO_ARRAY:
            array = np.frombuffer(self._queues, np.uint32, params.entries, params.array_at)
            array[:] = np.arange(params.entries)

    def _counter(self, offset: int) -> npt.NDArray[np.uint32]:
        return np.frombuffer(self._queues, np.uint32, 1, offset)

    def _submit(
        self, opcode: int, descriptors: Int32s, addresses: npt.NDArray[np.uint64], length: int
    ) -> Int32s:
        """*addresses* are one for each, or one for all. As many at a time as lie in one piece."""
        found = np.empty(len(descriptors), np.int32)
        start = 0
        while start < len(descriptors):
            first = int(self._tail[0]) & (self._capacity - 1)
            stop = min(len(descriptors), start + self._capacity - first)
            entries = self._entries[first : first + stop - start]
            entries["opcode"] = opcode
            entries["fd"] = descriptors[start:stop]
            entries["address"] = addresses[start:stop] if len(addresses) > 1 else addresses
            entries["length"] = length
            results = self._enter(stop - start)
            found[results["tag"].astype(np.int64) - first + start] = results["result"]
            start = stop
        return found

    def _enter(self, count: int) -> npt.NDArray[np.void]:
        """Submit the next *count* entries; their results. None waits, so they are there at once."""
        self._tail[0] = (int(self._tail[0]) + count) & _COUNTER_MASK
        left = count
        for _ in range(_MOST_TRIES):
            taken = self._system(_ENTER, self._descriptor, left, count, _WAIT, None, 0)
            left -= max(0, taken)
            head = int(self._results_head[0])
            if (int(self._results_tail[0]) - head) & _COUNTER_MASK >= count:
                # As many results as entries come, so the two rings wrap at the same calls.
                first = head & (self._result_capacity - 1)
                results: npt.NDArray[np.void] = self._results[first : first + count].copy()
                self._results_head[0] = (head + count) & _COUNTER_MASK
                return results
            if taken < 0 and ctypes.get_errno() not in _PASSING:
                break
        number = ctypes.get_errno()
        raise OSError(number, f"io_uring: {os.strerror(number)}")


def _system_call() -> Any:
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        raise RingUnavailable("io_uring: there is none but on 64-bit Linux")
    function = ctypes.CDLL(None, use_errno=True).syscall
    function.argtypes = [ctypes.c_long] * 5 + [ctypes.c_void_p, ctypes.c_size_t]
    function.restype = ctypes.c_long
    return function


def _set_up(system: Any, entries: int, setups: Sequence[int]) -> tuple[int, int, _Params]:
    """A new ring: its descriptor, the way it was set up, and where its parts are."""
    for setup in setups:
        raw = bytearray(_PARAMS.size)
        struct.pack_into("<III", raw, 0, 0, 0, setup)
        address = ctypes.addressof(ctypes.c_char.from_buffer(raw))
        descriptor = int(system(_SETUP, entries, address, 0, 0, None, 0))
        if descriptor >= 0:
            words = _PARAMS.unpack(raw)
            return (
                descriptor,
                setup,
                _Params(
                    entries=words[0],
                    results=words[1],
                    tail_at=words[11],
                    array_at=words[16],
                    results_head_at=words[19],
                    results_tail_at=words[20],
                    results_at=words[24],
                ),
            )
        number = ctypes.get_errno()
        if number != errno.EINVAL:  # not a flag that an older kernel does not know
            break
    raise RingUnavailable(f"io_uring: {os.strerror(number)}")
