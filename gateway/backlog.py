"""What clients missed, by stream and symbol; encoded once for all who missed the same. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np

from core.market.bar import Bar, decode_bars
from core.market.block import Block, Row, decode_block
from core.market.errors import BlockError
from core.market.notice import Notice
from core.market.symbol import Symbol
from gateway.channels import Channel, Codec, channel_of
from gateway.frames import SEPARATORS, Fragment
from gateway.positions import Positions
from gateway.topics import body_fragment, encoded
from storage.entry_id import ZERO_ID, EntryId

Content = Block | Sequence[Bar]
"""What an entry holds: a block of ticks, or bars."""

Part = tuple[EntryId, EntryId]
"""Entries after the first one, up to the second."""

Latest = list[tuple[EntryId, Any]]
"""The newest message with its entry, and the notices behind it, with theirs."""

_CHUNK: Final = 16  # messages that are encoded together
_MAX_SPANS: Final = 16  # kept encoded per track and spelling
_FEW: Final = 8  # ticks; of so many all are made into tuples at once
_BLOCK_BYTES, _TICK_BYTES = 1_500, 43  # about, in memory
_ENTRY_BYTES, _ROW_BYTES, _BAR_BYTES = 200, 300, 400
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class Track:
    """The messages of one channel and symbol in a stretch, in stream order."""

    __slots__ = ("_channel", "_chunks", "_entry_ids", "_fragments", "_messages", "done")

    def __init__(self, channel: Channel) -> None:
        self.done = 0  # of the places that the stretch knows
        self._channel = channel
        self._messages: list[Any] = []  # rows of ticks, or bars
        self._entry_ids: list[EntryId] = []  # of each message
        self._chunks: dict[tuple[str, Codec, int], bytes] = {}  # whole ones, by their number
        self._fragments: dict[tuple[str, Codec], dict[tuple[int, int], Fragment]] = {}

    def extend(self, entry_id: EntryId, messages: Sequence[Any]) -> None:
        """The entry *entry_id* holds *messages*."""
        self._messages += messages
        self._entry_ids += [entry_id] * len(messages)

    def fragment(self, spelling: str, codec: Codec, part: Part) -> Fragment | None:
        """The messages of that *part*; None when there are none.

        Fragments are kept, as clients come in droves with the same position.
        """
        after, last = part
        start = bisect_right(self._entry_ids, after)
        span = start, bisect_right(self._entry_ids, last, start)
        if span[0] == span[1]:
            return None
        made = self._fragments.setdefault((spelling, codec), {})
        fragment = made.get(span)
        if fragment is None:
            if len(made) >= _MAX_SPANS:
                made.clear()
            fragment = made[span] = self._made(spelling, codec, span)
        return fragment

    def _made(self, spelling: str, codec: Codec, span: tuple[int, int]) -> Fragment:
        """Put together of chunks: as the end moves on, what lies before is not encoded again."""
        pieces, (start, end) = [], span
        while start < end:
            number = start // _CHUNK
            upto = min(end, (number + 1) * _CHUNK)
            piece = None
            if upto - start == _CHUNK:
                piece = self._chunks.get((spelling, codec, number))
            if piece is None:
                piece = encoded(self._channel, self._messages[start:upto], spelling, codec)
                if upto - start == _CHUNK:
                    self._chunks[spelling, codec, number] = piece
            pieces.append(piece)
            start = upto
        body = SEPARATORS[codec].join(pieces)
        return body_fragment(self._channel, self._messages[slice(*span)], body, spelling, codec)


class Stretch:
    """The entries of one stream after *after* up to ``reached``, in order.

    ``hole`` is the newest entry before which one is missing, as the blocks' numbers tell: who
    stands before it cannot go on from there. ``size`` is about what it takes in bytes.
    """

    __slots__ = (
        "_count",
        "_number",
        "_places",
        "_stop_messages",
        "_stops",
        "_tracks",
        "after",
        "hole",
        "reached",
        "size",
    )

    def __init__(self, after: EntryId, stop_messages: int, number: int | None = None) -> None:
        """For :meth:`next_stop` *stop_messages*.

        *number* is that of the block *after*, None where it is not known; the first has 1.
        """
        self.after = self.reached = after
        self.hole = ZERO_ID
        self.size = 0
        self._stop_messages = stop_messages
        self._stops: list[EntryId] = []
        self._count = 0  # of messages
        self._number = 0 if after == ZERO_ID else number
        # Where each symbol occurs: entry id, and its rows, or block and index in it, or the bar.
        self._places: dict[Channel, dict[Symbol, list[tuple[EntryId, Any]]]] = {}
        self._tracks: dict[tuple[Channel, Symbol], Track] = {}

    def add(self, entry_id: EntryId, content: Content) -> None:
        """The next entry."""
        self.reached = entry_id
        before = self._count
        if isinstance(content, Block):
            self._add_block(entry_id, content)
        else:
            self.size += _ENTRY_BYTES + _BAR_BYTES * len(content)
            for bar in content:
                self._note(channel_of(bar), bar.symbol, entry_id, bar)
        self._count += len(content)
        if self._count // self._stop_messages > before // self._stop_messages:
            self._stops.append(entry_id)

    def _add_block(self, entry_id: EntryId, block: Block) -> None:
        number = block.meta.number
        if self._number is not None and number != self._number + 1:
            self.hole = entry_id
        self._number = number
        if len(block) > _FEW:
            self.size += _BLOCK_BYTES + _TICK_BYTES * len(block)
            for index, symbol in enumerate(block.symbols):
                self._note(Channel.TRADES, symbol, entry_id, (block, index))
        else:
            self._add_rows(entry_id, block)
        self.size += _ROW_BYTES * len(block.meta.notices)
        for notice in block.meta.notices:
            self._note(Channel.TRADES, notice.symbol, entry_id, [notice])

    def _add_rows(self, entry_id: EntryId, block: Block) -> None:
        self.size += _ENTRY_BYTES + _ROW_BYTES * len(block)
        rows = block.rows()
        for index, symbol in enumerate(block.symbols):
            own = [row for row in rows if row[0] == index]
            self._note(Channel.TRADES, symbol, entry_id, own)

    def next_stop(self, at: EntryId) -> EntryId:
        """Up to where a client at the entry *at* is served in one go: twice ``stop_messages``."""
        index = bisect_right(self._stops, at) + 1
        return self._stops[index] if index < len(self._stops) else self.reached

    def channels(self) -> Iterable[Channel]:
        """Those with messages."""
        return self._places

    def symbols(self, channel: Channel) -> Iterable[Symbol]:
        """Those with messages on *channel*."""
        return self._places.get(channel, ())

    def fragment(
        self, channel: Channel, symbol: Symbol, spelling: str, codec: Codec, part: Part
    ) -> Fragment | None:
        """What came on *channel* of *symbol* in that *part*; None for nothing."""
        places = self._places.get(channel, _NOTHING).get(symbol)
        if places is None:
            return None
        track = self._tracks.get((channel, symbol))
        if track is None:
            track = self._tracks[channel, symbol] = Track(channel)
        for entry_id, what in places[track.done :]:
            track.extend(entry_id, _messages(what))
        track.done = len(places)
        return track.fragment(spelling, codec, part)

    def newest(self, channel: Channel, symbol: Symbol) -> Latest | None:
        """The newest message on *channel* of *symbol*; None for nothing.

        Notices that came behind the newest tick come with it. A block names no symbol that it has
        no tick of.
        """
        places = self._places.get(channel, _NOTHING).get(symbol)
        if places is None:
            return None
        found: Latest = []
        for entry_id, what in reversed(places):
            found.insert(0, (entry_id, _messages(what)[-1]))
            if not _is_notice(found[0]):
                break
        return found

    def _note(self, channel: Channel, symbol: Symbol, entry_id: EntryId, what: Any) -> None:
        by_symbol = self._places.setdefault(channel, {})
        by_symbol.setdefault(symbol, []).append((entry_id, what))


class Tail:
    """What was published since ``starts``, by stream; ``size`` is about its bytes."""

    def __init__(self, positions: Positions, stop_messages: int) -> None:
        self._stop_messages = stop_messages
        self.is_early = not positions.complete  # nobody knows yet where it begins
        self.starts = dict(positions.reached())
        self.stretches: dict[str, Stretch] = {}
        self.size = 0
        self._numbers = positions.numbers()

    def start(self, key: str) -> EntryId:
        """A stream that came later is held from its beginning."""
        return self.starts.get(key, ZERO_ID)

    def add(self, key: str, entry_id: EntryId, content: Content) -> None:
        """The newest entry of stream *key* was published."""
        stretch = self.stretches.get(key)
        if stretch is None:
            stretch = Stretch(self.start(key), self._stop_messages, self._numbers.get(key))
            self.stretches[key] = stretch
        self.size -= stretch.size
        stretch.add(entry_id, content)
        self.size += stretch.size


class Newest:
    """The newest message of each stream, channel and symbol, of all stretches that were noted."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Channel], dict[Symbol, Latest]] = {}

    def note(self, key: str, stretch: Stretch) -> None:
        """Take in a stretch of stream *key*."""
        for channel in stretch.channels():
            held = self._found.setdefault((key, channel), {})
            for symbol in stretch.symbols(channel):
                found = stretch.newest(channel, symbol)
                before = held.get(symbol)
                if found is not None and (before is None or before[-1][0] < found[-1][0]):
                    held[symbol] = joined(before, found) or found

    def symbols(self, key: str, channel: Channel) -> Iterable[Symbol]:
        """Those with messages on *channel* in stream *key*."""
        return self._found.get((key, channel), ())

    def of(self, key: str, channel: Channel, symbol: Symbol) -> Latest | None:
        """The newest message; None for nothing."""
        return self._found.get((key, channel), _NOTHING).get(symbol)


def joined(before: Latest | None, found: Latest | None) -> Latest | None:
    """What was *found*, with what was *before*, if it is notices alone."""
    if before is None or found is None:
        return found or before
    if not _is_notice(found[0]):
        return found
    return [*(each for each in before if each[0] < found[0][0]), *found]  # they may overlap


def decode_entry(payload: bytes, *, is_bars: bool) -> Content | None:
    """What an entry holds; None if it cannot be read, then nobody gets it.

    That a block is missing then the numbers tell.
    """
    try:
        return decode_bars(payload) if is_bars else decode_block(payload)
    except (BlockError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_notice(found: tuple[EntryId, Any]) -> bool:
    return isinstance(found[1], Notice)


def _messages(what: Any) -> Sequence[Any]:
    if isinstance(what, list):
        return what
    if isinstance(what, Bar):
        return (what,)
    return _rows(*what)


def _rows(block: Block, index: int) -> list[Row]:
    """The ticks of one symbol; those of others are not made into tuples."""
    at = np.flatnonzero(block.symbol_index == index)
    columns = (block.event_ns, block.seq, block.trade_id, block.price, block.size, block.side)
    return list(zip(repeat(index), *(column[at].tolist() for column in columns), strict=False))
