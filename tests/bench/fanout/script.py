"""Schedules as files: prepared bytes and when they are due, in wall time. Pure.

The floor and the in-process servers read windows of messages (:func:`in_process`); what a
publisher sends to a server of another kind is played by ``player.c`` (:func:`played`).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_HEAD = struct.Struct("<II")
_WINDOW = struct.Struct("<qII")
_MESSAGE = struct.Struct("<HH")
_COUNT = struct.Struct("<Q")
_CONNECTION = struct.Struct("<QQ")
_RECORD = struct.Struct("<qQ")
_AT_ONCE_NS = 1  # not 0, which means nothing more is due


@dataclass(frozen=True, slots=True)
class Window:
    """What is due at one moment: one message for all, or, routed, each symbol's own."""

    due_ns: int
    messages: Mapping[int, Sequence[bytes]]


def in_process(windows: Sequence[Window], *, routed: bool) -> bytes:
    """Little-endian: u32 routed, u32 windows; per window i64 due_ns, u32 messages, u32 bytes;
    per message u16 symbol, u16 length; then the messages' bytes.
    """
    parts = [_HEAD.pack(routed, len(windows))]
    for window in windows:
        index: list[bytes] = []
        texts: list[bytes] = []
        for symbol, messages in window.messages.items():
            index += [_MESSAGE.pack(symbol, len(message)) for message in messages]
            texts += messages
        parts.append(_WINDOW.pack(window.due_ns, len(texts), sum(len(text) for text in texts)))
        parts += index
        parts += texts
    return b"".join(parts)


def read_in_process(script: bytes) -> tuple[bool, list[Window]]:
    """The inverse of :func:`in_process`."""
    routed, count = _HEAD.unpack_from(script)
    at, windows = _HEAD.size, []
    for _ in range(count):
        due_ns, messages, size = _WINDOW.unpack_from(script, at)
        at += _WINDOW.size
        index = script[at : at + messages * _MESSAGE.size]
        at += len(index)
        windows.append(Window(due_ns, _messages(index, script, at)))
        at += size
    return bool(routed), windows


def _messages(index: bytes, script: bytes, at: int) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for symbol, length in _MESSAGE.iter_unpack(index):
        found.setdefault(symbol, []).append(script[at : at + length])
        at += length
    return found


def played(connections: Sequence[Sequence[tuple[int, bytes]]], *, hello: bytes = b"") -> bytes:
    """For ``player.c``: by connection, when what is due; *hello* goes first on each."""
    parts = [_COUNT.pack(len(connections))]
    for records in connections:
        parts += _connection([(_AT_ONCE_NS, hello), *records])
    return b"".join(parts)


def _connection(records: Sequence[tuple[int, bytes]]) -> Iterator[bytes]:
    index, end = [], 0
    for due_ns, payload in records:
        end += len(payload)
        index.append(_RECORD.pack(due_ns, end))
    yield _CONNECTION.pack(len(index), end)
    yield from index
    yield from (payload for _, payload in records)
    yield bytes(-end % 8)
