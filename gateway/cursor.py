"""Cursors: how far a client was served, as a short text that any gateway can go on from. Pure.

The text is base64url, without padding, of::

    u8 version | 3 bytes digest of the namespace | shards | feeds
    per feed: length of its name | name | newest millisecond | a position per shard
    newest token | newest flush | a position per shard          (closed and revised bars)
    u32 CRC-32 of all before it

Numbers are varints; a position is a small one, told from the newest. Nothing is kept on the
server: a cursor is good for as long as the streams hold what came after it.
"""

import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from core.market.errors import TickgateError
from gateway.channels import Codec
from gateway.encode import control
from gateway.frames import frame
from gateway.positions import Positions
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import StreamKeys

_VERSION: Final = 1
_DIGEST_BYTES: Final = 3
_CRC_BYTES: Final = 4
_MAX_FEEDS: Final = 256
_MAX_TEXT: Final = 65_536  # some hundred feeds; a longer one was not made here
_MAX_ID: Final = 2**64 - 1  # of either part of an entry's id
_MAX_SHIFT: Final = 63  # a number has at most ten bytes
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_AS_IT_CAME: Final = "send one exactly as it came in a cursor message"


class CursorError(TickgateError):
    """A cursor that cannot be gone on from: what is wrong with it, and what is accepted."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"resume: {self.reason}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Per feed and shard the newest block received; per shard the newest publication of bars."""

    feeds: Mapping[str, Sequence[EntryId]]
    bars: Sequence[EntryId]

    @property
    def time_ms(self) -> int:
        """When the newest block was written, UNIX milliseconds; 0 without any."""
        return max((at.ms for ids in self.feeds.values() for at in ids), default=0)

    def positions(self, keys: StreamKeys) -> dict[str, EntryId]:
        """The positions by stream key."""
        found = {keys.bars(shard): at for shard, at in enumerate(self.bars)}
        for feed, ids in self.feeds.items():
            found |= {keys.ticks(feed, shard): at for shard, at in enumerate(ids)}
        return found


def encode_cursor(cursor: Cursor, namespace: str) -> str:
    """The text of *cursor*."""
    head = _head(namespace, len(cursor.bars))
    feeds = [_feed_part(feed, ids) for feed, ids in cursor.feeds.items()]
    return _text(head, feeds, _bars_part(cursor.bars))


def decode_cursor(text: str, keys: StreamKeys) -> Cursor:
    """Read a cursor of the installation whose keys are *keys*.

    Raises:
        CursorError: garbled, of a newer version, another installation or number of shards.
    """
    read = _Reader(_bytes(text))
    version = read.take(1)[0]
    if version != _VERSION:
        raise CursorError(f"a newer gateway made this cursor (version {version}); this one reads 1")
    if read.take(_DIGEST_BYTES) != _digest(keys.namespace):
        raise CursorError(f"the cursor is of another installation; {_AS_IT_CAME} from this one")
    shards = read.number()
    if shards != keys.shards:
        raise CursorError(
            f"the cursor was made with {shards} shards, there are {keys.shards} now; "
            "subscribe without resume"
        )
    count = read.number()
    if count > _MAX_FEEDS:
        raise CursorError(f"the cursor names {count} feeds, at most {_MAX_FEEDS} are accepted")
    feeds = dict(_read_feed(read, shards) for _ in range(count))
    bars = _read_bars(read, shards)
    read.end()
    return Cursor(feeds, bars)


class CursorMaker:
    """Makes the cursor of what has been published; again only after a position has moved."""

    def __init__(self, positions: Positions, keys: StreamKeys) -> None:
        self._positions, self._keys = positions, keys
        self._head = _head(keys.namespace, keys.shards)
        self._bar_keys = [keys.bars(shard) for shard in range(keys.shards)]
        self._feed_keys: dict[str, list[str]] = {}
        self._parts: dict[str, tuple[list[EntryId], bytes]] = {}  # "": of the bars
        self._moves = -1
        self._text = ""

    def __call__(self) -> str:
        """The cursor for who was sent all that was published; empty while nobody knows that yet.

        That is while the gateway has not found out yet where its streams stand.
        """
        positions = self._positions
        if self._moves != positions.moves and positions.complete:
            self._text = self.of(positions.reached())
            self._moves = positions.moves
        return self._text

    def of(self, reached: Mapping[str, EntryId]) -> str:
        """The cursor for who was sent all up to the positions *reached*, by stream key."""
        feeds = []
        for feed in self._positions.feeds():
            keys = self._feed_keys.get(feed)
            if keys is None:
                keys = [self._keys.ticks(feed, shard) for shard in range(self._keys.shards)]
                self._feed_keys[feed] = keys
            ids = [reached.get(key, ZERO_ID) for key in keys]
            feeds.append(self._part(feed, ids, partial(_feed_part, feed)))
        bars = [reached.get(key, ZERO_ID) for key in self._bar_keys]
        return _text(self._head, feeds, self._part("", bars, _bars_part))

    def _part(self, feed: str, ids: list[EntryId], make: Callable[[list[EntryId]], bytes]) -> bytes:
        made = self._parts.get(feed)
        if made is None or made[0] != ids:
            made = self._parts[feed] = ids, make(ids)
        return made[1]


def cursor_frame(text: str, codec: Codec) -> bytes:
    """The cursor as a message of its own."""
    return frame(control({"T": "cursor", "c": text}, codec), codec)


def _text(head: bytes, feeds: Sequence[bytes], bars: bytes) -> str:
    body = b"".join((head, _varint(len(feeds)), *feeds, bars))
    whole = body + zlib.crc32(body).to_bytes(_CRC_BYTES)
    return _base64url(whole)


def _base64url(whole: bytes) -> str:
    return binascii.b2a_base64(whole, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def _bytes(text: str) -> bytes:
    """What *text* holds before its checksum."""
    try:
        if len(text) > _MAX_TEXT or "+" in text or "/" in text:
            raise ValueError("no cursor looks like that")
        padded = text.encode("ascii").translate(_TO_STANDARD) + b"=" * (-len(text) % 4)
        whole = binascii.a2b_base64(padded, strict_mode=True)
    except ValueError as exc:
        raise _garbled() from exc
    body, crc = whole[:-_CRC_BYTES], whole[-_CRC_BYTES:]
    if not body or zlib.crc32(body).to_bytes(_CRC_BYTES) != crc or _base64url(whole) != text:
        raise _garbled()  # the last: the bits that the text has left over are not for anything
    return body


def _head(namespace: str, shards: int) -> bytes:
    return bytes((_VERSION,)) + _digest(namespace) + _varint(shards)


def _digest(namespace: str) -> bytes:
    return hashlib.blake2s(namespace.encode(), digest_size=_DIGEST_BYTES).digest()


def _feed_part(feed: str, ids: Sequence[EntryId]) -> bytes:
    name = feed.encode()
    newest_ms = max(at.ms for at in ids)
    part = bytearray(_varint(len(name)) + name + _varint(newest_ms))
    for at in ids:
        if at == ZERO_ID:
            part.append(0)
            continue
        ms, seq = at
        code = (newest_ms - ms << 1 | (seq > 0)) + 1
        if code < 0x80:
            part.append(code)
        else:
            part += _varint(code)
        if seq:
            part += _varint(seq)
    return bytes(part)


def _read_feed(read: "_Reader", shards: int) -> tuple[str, list[EntryId]]:
    try:
        name = read.take(read.number()).decode()
    except UnicodeDecodeError as exc:
        raise _garbled() from exc
    newest_ms = read.number()
    ids = []
    for _ in range(shards):
        code = read.number()
        if code:
            behind_ms, has_seq = divmod(code - 1, 2)
            ids.append(_entry_id(newest_ms - behind_ms, read.number() if has_seq else 0))
        else:
            ids.append(ZERO_ID)
    return name, ids


def _bars_part(ids: Sequence[EntryId]) -> bytes:
    """Most shards have the newest token, and flush about as often."""
    newest = max(ids)
    part = bytearray(_varint(newest.ms) + _varint(newest.seq))
    for at in ids:
        if at == ZERO_ID:
            part.append(0)
            continue
        token, flush = at
        behind = newest.seq - flush
        signless = behind << 1 if behind >= 0 else -behind << 1 | 1
        part += _varint((signless << 1 | (token != newest.ms)) + 1)
        if token != newest.ms:
            part += _varint(newest.ms - token)
    return bytes(part)


def _read_bars(read: "_Reader", shards: int) -> list[EntryId]:
    newest_token, newest_flush = read.number(), read.number()
    ids = []
    for _ in range(shards):
        code = read.number()
        if code:
            signless, differs = divmod(code - 1, 2)
            behind = -(signless >> 1) if signless & 1 else signless >> 1
            token = newest_token - read.number() if differs else newest_token
            ids.append(_entry_id(token, newest_flush - behind))
        else:
            ids.append(ZERO_ID)
    return ids


def _garbled() -> CursorError:
    return CursorError(f"the cursor is garbled; {_AS_IT_CAME}")


def _entry_id(ms: int, seq: int) -> EntryId:
    if not (0 <= ms <= _MAX_ID and 0 <= seq <= _MAX_ID):
        raise _garbled()
    return EntryId(ms, seq)


def _varint(number: int) -> bytes:
    """Seven bits a byte, the low ones first; the top bit says that more follow."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Reader:
    """Reads the parts of a cursor in turn; what is not there makes it a garbled one."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, size: int) -> bytes:
        part = self._body[self._at : self._at + size]
        if len(part) < size:
            raise _garbled()
        self._at += size
        return part

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
            if shift > _MAX_SHIFT:
                raise _garbled()

    def end(self) -> None:
        if self._at != len(self._body):
            raise _garbled()
