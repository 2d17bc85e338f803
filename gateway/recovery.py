"""How clients that resume catch up with the live end: what is to be read, and who gets what. Pure.

Their positions move in rounds. A round reads from the streams up to where the tail begins, which
holds what was published since there is anybody to resume. Who has got all of both is at the live
end, and joins the hub in that same moment: nothing lies in between.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from core.market.bar import decode_bars
from core.market.block import Block, decode_block
from core.market.errors import BlockError
from core.market.symbol import Symbol
from gateway.backlog import Content, Newest, Stretch, Tail, message_fragment
from gateway.channels import WILDCARD, Channel, Codec
from gateway.frames import Fragment
from gateway.market import MarketState
from gateway.plans import Plan, Plans, Wanted
from gateway.positions import Positions
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import StreamKeys
from storage.stream_state import Range, StreamState

MAX_TAIL_BYTES: Final = 16 << 20  # of published entries; beyond, who is behind reads them again

At = Mapping[str, EntryId]
"""Positions by stream key. Of a stream that is not there nothing was received."""


@dataclass(slots=True, eq=False)
class Resumer:
    """A client that catches up. ``at`` is shared with others at the same positions."""

    plan: Plan
    codec: Codec
    at: At
    time_ms: int  # of its cursor; 0: unknown
    latest: bool = False  # only the newest missed message of each name is wanted
    floors: dict[Wanted, At] = field(default_factory=dict)  # of names with a gap: they begin there
    origin: At = field(init=False)

    def __post_init__(self) -> None:
        self.origin = self.at


@dataclass(frozen=True, slots=True)
class Gap:
    """What came for a spelling after *from_ms* is lost, on these channels."""

    spelling: str
    channels: Sequence[Channel]
    from_ms: int  # UNIX milliseconds, 0: unknown


@dataclass(slots=True)
class Served:
    """What a resumer gets now; one object for all who get the same.

    ``complete``: with that it is at the live end, for this moment. ``waits``: nothing comes until
    this gateway has read as far as the one that made the cursor.
    """

    gaps: Sequence[Gap] = ()
    parts: Sequence[Fragment] = ()
    complete: bool = False
    waits: bool = False
    framed: dict[Any, bytes] = field(default_factory=dict)  # the parts, for the caller's use


class _Place(NamedTuple):
    """What there is for those who stand at some entry of a stream, and where that leads them."""

    stretches: tuple[Stretch, ...]
    middle: EntryId  # behind what was read in this round
    end: EntryId  # behind the tail as well, if it begins there


class _View:
    """All that there is at the moment for those who stand at the positions ``at``."""

    __slots__ = ("_places", "_recovery", "at", "is_beyond")

    def __init__(self, at: At, recovery: "Recovery", *, is_beyond: bool) -> None:
        self.at = at
        self.is_beyond = is_beyond  # there are streams that this gateway has not found yet
        self._recovery = recovery
        self._places: dict[str, _Place] = {}

    def place(self, key: str) -> _Place:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._recovery.place(key, self.at.get(key, ZERO_ID))
        return place


class Recovery:
    """All who resume at the time. One task owns it: the gateway's event loop.

    Memory: the entries of one round, a tail of 16 MiB, and some hundred bytes per resumer.
    """

    def __init__(
        self,
        *,
        keys: StreamKeys,
        market: MarketState,
        positions: Positions,
        max_tail_bytes: int = MAX_TAIL_BYTES,
    ) -> None:
        """From now on :meth:`publish` must be told of each entry right after it was published."""
        self.plans = Plans(market, keys)
        self._market, self._positions = market, positions
        self._max_tail_bytes = max_tail_bytes
        self._bars = frozenset(keys.bars(shard) for shard in range(keys.shards))
        self._tail = Tail(positions)
        self._rounds: dict[str, Stretch] = {}
        self._states: Mapping[str, StreamState] = {}
        self._newest: Newest | None = None  # of all rounds; None while nobody wants that
        self._turn = 0
        self._now: At | None = None  # the positions reached, as a map to keep
        self._views: dict[int, _View] = {}  # by identity of the positions
        self._served_alike: dict[tuple[Any, ...], Served] = {}
        self._steps: dict[tuple[Any, ...], tuple[At, At]] = {}  # old and new positions, shared

    def publish(self, key: str, entry_id: EntryId, content: Content) -> None:
        """The newest entry of stream *key* was given to the hub."""
        if key not in self._tail.starts and key not in self._tail.stretches:  # of a new feed
            self.plans.refresh(self._positions.feeds())
        self._tail.add(key, entry_id, content)
        if self._tail.size > self._max_tail_bytes:
            self._tail = Tail(self._positions)
        self._forget()

    def begin(self, ready: Collection[Resumer]) -> tuple[list[Range], list[str]]:
        """A new round for *ready*: what to read, and the streams whose state is to be told.

        Read first, then ask for the states: what is cut off in between so counts as lost.
        """
        self._forget()
        self._rounds, self._states = {}, {}
        self.plans.refresh(self._positions.feeds())
        if self._newest is None and any(resumer.latest for resumer in ready):
            self._newest = Newest()
        reached = self._positions.reached()
        lows: dict[str, EntryId] = {}
        ahead: dict[str, None] = {}
        for at, streams in _grouped(ready):
            for key in streams:
                position = at.get(key, ZERO_ID)
                if position < self._tail.start(key):
                    lows[key] = min(position, lows.get(key, position))
                elif position > reached.get(key, ZERO_ID):
                    ahead[key] = None
        ranges = [Range(key, low, self._tail.start(key)) for key, low in lows.items()]
        self._turn += 1  # where a round's bytes are not enough for all, each gets its turn
        turn = self._turn % len(ranges) if ranges else 0
        return ranges[turn:] + ranges[:turn], list(lows | ahead)

    def take(
        self, wanted: Range, entries: Sequence[tuple[EntryId, bytes]], *, is_all: bool
    ) -> list[Symbol]:
        """Entries of one of the round's ranges, and whether that is all of it.

        Returns the symbols that were not known before: the hub must be told that they are carried.
        """
        stretch = Stretch(wanted.first)
        for entry_id, payload in entries:
            content = _decoded(payload, is_bars=wanted.key in self._bars)
            if entry_id == wanted.first:
                number = content.meta.number if isinstance(content, Block) else None
                stretch = Stretch(wanted.first, number)
            elif content is not None:
                stretch.add(entry_id, content)
        stretch.reached = wanted.last if is_all else entries[-1][0]
        self._rounds[wanted.key] = stretch
        if self._newest is not None:
            self._newest.note(wanted.key, stretch)
        self._forget()
        found = (s for channel in stretch.channels() for s in stretch.symbols(channel))
        return self._market.add_symbols(found)

    def learn(self, states: Mapping[str, StreamState]) -> None:
        """The states asked for, all taken after the round was read."""
        self._states = states

    def serve(self, resumer: Resumer, *, waited: bool = False, over: bool = False) -> Served:
        """What *resumer* gets from this round and the tail.

        Then it joins the hub at once, or :meth:`advance` is called. *waited*: no longer for
        positions that this gateway has not reached; *over*: no longer for anything.
        """
        if resumer.plan.is_loose:  # the tail may hold symbols that were not known before
            self.plans.look_up(resumer.plan)
        view = self._view(resumer.at)
        lost = self._lost(resumer, view, over=over)
        ahead = self._ahead(resumer, view) - lost
        is_beyond = view.is_beyond
        if (ahead or is_beyond) and not (waited or over):
            return Served(waits=True)
        gaps: Sequence[Gap] = ()
        if lost or ahead or is_beyond:
            gaps = self._give_up(resumer, lost | ahead, is_beyond=is_beyond)
            view = self._view(resumer.at)
        if gaps or resumer.floors or resumer.plan.users == 1:
            return self._served(resumer, view, gaps)
        alike = (resumer.plan, resumer.codec, resumer.latest, id(resumer.at), id(resumer.origin))
        if alike not in self._served_alike:
            self._served_alike[alike] = self._served(resumer, view, ())
        return self._served_alike[alike]

    def advance(self, resumer: Resumer) -> None:
        """*resumer* has got what it was served, and does not join yet."""
        step = (id(resumer.at), resumer.latest)
        if step not in self._steps:
            view = self._view(resumer.at)
            moved = dict(resumer.at)
            for key in [*self._rounds, *self._tail.stretches]:
                place = view.place(key)
                moved[key] = place.middle if resumer.latest else place.end
            self._steps[step] = resumer.at, moved
        resumer.at = self._steps[step][1]

    def place(self, key: str, at: EntryId) -> _Place:
        """What comes after the entry *at* of stream *key*."""
        stretches: tuple[Stretch, ...] = ()
        middle, start = at, self._tail.start(key)
        read, published = self._rounds.get(key), self._tail.stretches.get(key)
        if at < start and read is not None and read.after <= at < read.reached:
            stretches, middle = (read,), read.reached
        end = middle
        if published is not None and start <= middle < published.reached:
            stretches, end = (*stretches, published), published.reached
        return _Place(stretches, middle, end)

    def _served(self, resumer: Resumer, view: _View, gaps: Sequence[Gap]) -> Served:
        reached, streams = self._positions.reached(), resumer.plan.streams
        complete = all(view.place(key).end == reached.get(key, ZERO_ID) for key in streams)
        parts: Iterable[Fragment] = ()
        if not resumer.latest:
            parts = self._missed(resumer, view)
        elif complete:
            parts = self._missed_newest(resumer)
        return Served(gaps, list(parts), complete)

    def _forget(self) -> None:
        """What was worked out of what there was a moment ago."""
        self._served_alike.clear()
        self._now = None
        self._views.clear()
        self._steps.clear()

    def _view(self, at: At) -> _View:
        view = self._views.get(id(at))
        if view is None:
            is_beyond = not at.keys() <= self._positions.reached().keys()
            view = self._views[id(at)] = _View(at, self, is_beyond=is_beyond)
        return view

    def _ahead(self, resumer: Resumer, view: _View) -> set[str]:
        """Streams of which the client has seen more than this gateway."""
        reached = self._positions.reached()
        return {
            key
            for key in resumer.plan.streams
            if view.at.get(key, ZERO_ID) > reached.get(key, ZERO_ID)
        }

    def _lost(self, resumer: Resumer, view: _View, *, over: bool) -> set[str]:
        """Streams of which something is gone that the client has not got."""
        reached = self._positions.reached()
        lost = set()
        for key in resumer.plan.streams:
            at, place = view.at.get(key, ZERO_ID), view.place(key)
            if (
                self._is_gone(key, at)
                or any(s.hole is not None and s.hole > at for s in place.stretches)
                or (over and place.end != reached.get(key, ZERO_ID))
            ):
                lost.add(key)
        return lost

    def _is_gone(self, key: str, at: EntryId) -> bool:
        """By the state of stream *key*: is it wanting what must be read for those at *at*?"""
        state, start = self._states.get(key), self._tail.start(key)
        if state is None or start <= at <= self._positions.reached().get(key, ZERO_ID):
            return False
        return state.last < start or not state.holds_all_after(at)

    def _give_up(self, resumer: Resumer, lost: set[str], *, is_beyond: bool) -> list[Gap]:
        """Names that need a lost stream begin at this moment, in all of their streams.

        What came up to now is named lost; what comes from now on is recovered as for others.
        """
        now = self._now
        if now is None:
            now = self._now = dict(self._positions.reached())
        at = resumer.at
        step = (id(at), frozenset(lost), is_beyond)
        if step not in self._steps:
            kept = {key: place for key, place in at.items() if not is_beyond or key in now}
            moved = kept | {key: now.get(key, ZERO_ID) for key in lost}
            self._steps[step] = at, moved
        resumer.at = self._steps[step][1]
        from_ms: dict[str, int] = {}
        channels: dict[str, list[Channel]] = {}
        for wanted in resumer.plan.wanted:
            unknown = is_beyond and wanted.channel is Channel.TRADES
            hit = lost.intersection(wanted.streams)
            if hit or unknown:
                resumer.floors[wanted] = now
                since_ms = [at[key].ms for key in hit - self._bars if key in at and at[key].ms]
                start_ms = min(since_ms, default=resumer.time_ms)
                spelling = wanted.spelling
                from_ms[spelling] = min(start_ms, from_ms.get(spelling, start_ms))
                channels.setdefault(spelling, []).append(wanted.channel)
        return [Gap(spelling, some, from_ms[spelling]) for spelling, some in channels.items()]

    def _missed(self, resumer: Resumer, view: _View) -> Iterator[Fragment]:
        """Everything, in the order of the names, each symbol's in stream order."""
        for wanted in resumer.plan.wanted:
            for key in wanted.streams:
                stretches = view.place(key).stretches
                if stretches:
                    after = _after(resumer, wanted, key, view.at)
                    yield from _fragments(resumer, wanted, stretches, after)

    def _missed_newest(self, resumer: Resumer) -> Iterator[Fragment]:
        """The newest message of each name and symbol, if it was missed."""
        for wanted in resumer.plan.wanted:
            newest: dict[tuple[Symbol, str], tuple[EntryId, Any]] = {}
            for key in wanted.streams:
                after = _after(resumer, wanted, key, resumer.origin)
                heard = self._heard(key, wanted.channel)
                for spelled in _spelled(resumer.plan, wanted, heard):
                    found = self._newest_of(key, wanted.channel, spelled[0])
                    if found is not None and found[0] > after:
                        held = newest.get(spelled)
                        newest[spelled] = found if held is None else max(held, found, key=_entry_of)
            for (_, spelling), (_, message) in newest.items():
                yield message_fragment(wanted.channel, (message,), spelling, resumer.codec)

    def _heard(self, key: str, channel: Channel) -> Collection[Symbol]:
        """Symbols with messages on *channel* in stream *key*, in rounds or tail."""
        published = self._tail.stretches.get(key)
        found = dict.fromkeys(self._newest.symbols(key, channel) if self._newest else ())
        return found | dict.fromkeys(published.symbols(channel) if published else ())

    def _newest_of(self, key: str, channel: Channel, symbol: Symbol) -> tuple[EntryId, Any] | None:
        published = self._tail.stretches.get(key)
        found = published.newest(channel, symbol) if published else None
        if found is None and self._newest is not None:
            found = self._newest.of(key, channel, symbol)
        return found


def _grouped(ready: Iterable[Resumer]) -> Iterable[tuple[At, set[str]]]:
    """Positions, each with the streams that those who stand there need."""
    found: dict[int, tuple[At, set[str]]] = {}
    for resumer in ready:
        _, streams = found.setdefault(id(resumer.at), (resumer.at, set()))
        streams |= resumer.plan.streams
    return found.values()


def _after(resumer: Resumer, wanted: Wanted, key: str, at: At) -> EntryId:
    position, floor = at.get(key, ZERO_ID), resumer.floors.get(wanted)
    return position if floor is None else max(position, floor.get(key, ZERO_ID))


def _spelled(plan: Plan, wanted: Wanted, symbols: Iterable[Symbol]) -> Iterable[tuple[Symbol, str]]:
    """The symbols that come by the name *wanted*, and how they are spelled then."""
    if wanted.symbol is not None:
        return ((wanted.symbol, wanted.spelling),)
    if wanted.spelling != WILDCARD:
        return ()
    named = plan.named(wanted.channel)
    return [(symbol, symbol) for symbol in symbols if symbol not in named]


def _fragments(
    resumer: Resumer, wanted: Wanted, stretches: Iterable[Stretch], after: EntryId
) -> Iterator[Fragment]:
    channel, codec = wanted.channel, resumer.codec
    for stretch in stretches:
        for symbol, spelling in _spelled(resumer.plan, wanted, stretch.symbols(channel)):
            fragment = stretch.fragment(channel, symbol, spelling, codec, after)
            if fragment is not None:
                yield fragment


def _entry_of(found: tuple[EntryId, Any]) -> EntryId:
    return found[0]


def _decoded(payload: bytes, *, is_bars: bool) -> Content | None:
    """None for an entry that cannot be read; nobody gets those. The number tells of a block."""
    try:
        return decode_bars(payload) if is_bars else decode_block(payload)
    except (BlockError, msgspec.DecodeError, UnicodeDecodeError):
        return None
