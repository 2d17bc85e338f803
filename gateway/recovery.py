"""How clients that resume catch up with the live end: what is to be read, and who gets what. Pure.

Their positions move in rounds. A round reads from the streams up to where the tail begins, which
holds what was published since there is anybody to resume. Who has got all of both is at the live
end, and joins the hub in that same moment: nothing lies in between.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.market.block import Block
from core.market.symbol import Symbol
from gateway.backlog import Content, Latest, Newest, Stretch, Tail, decode_entry, joined
from gateway.channels import Channel
from gateway.frames import Fragment
from gateway.market import MarketState
from gateway.messages import Name
from gateway.plans import Bounds as PlanBounds
from gateway.plans import Plans, Wanted, spelled
from gateway.positions import Positions
from gateway.resumer import At, Bounds, Gap, Resumer, Served, begins_after, grouped
from gateway.topics import message_fragment
from storage.entry_id import ZERO_ID, EntryId
from storage.keys import StreamKeys
from storage.stream_state import Range, StreamState


class _Place(NamedTuple):
    """What there is for those who stand at some entry of a stream, and where that leads them."""

    parts: tuple[tuple[Stretch, EntryId], ...]  # with the last entry of the part
    middle: EntryId  # behind what was read
    end: EntryId  # behind the tail as well, if it begins there


@dataclass(slots=True)
class _Wish:
    """What those who are ready want of a stream."""

    lowest: EntryId | None = None  # position of those for whom nothing is in memory
    is_at_end: bool = False  # somebody has had all that is there
    is_inside: bool = False  # somebody has not


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

    Memory: 16 MiB of entries read and a round's more, a tail of 32 MiB, and some hundred bytes per
    resumer. What was read is kept for those who come after, and read again when it is not enough.
    """

    def __init__(
        self,
        *,
        keys: StreamKeys,
        market: MarketState,
        positions: Positions,
        bounds: Bounds | None = None,
    ) -> None:
        """From now on :meth:`publish` must be told of each entry right after it was published."""
        self.plans = Plans(market, keys)
        self._bounds = bounds or Bounds()
        self._market, self._positions = market, positions
        self._bars = frozenset(keys.bars(shard) for shard in range(keys.shards))
        self._tail = Tail(positions, self._bounds.stop_messages)
        self._read: dict[str, Stretch] = {}
        self._doubtful: dict[str, Range] = {}  # read, but not known yet to be whole
        self._cut: set[str] = set()  # read, without the end that was there once
        self._short: set[str] = set()  # that end before what was published, for now
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
        if self._tail.size > self._bounds.tail_bytes:
            self._tail = Tail(self._positions, self._bounds.stop_messages)
        self._forget()

    def begin(self, ready: Collection[Resumer]) -> tuple[list[Range], list[str]]:
        """A new round for *ready*: what to read, and the streams whose state is to be told.

        Read first, then ask for the states: what is cut off in between so counts as lost. Those
        that somebody is ahead in are asked for as well, which shows whether Redis is there.
        """
        self._forget()
        self._settle()
        if self._tail.is_early:
            self._tail = Tail(self._positions, self._bounds.stop_messages)
        self.plans.refresh(self._positions.feeds())
        if self._newest is None and any(resumer.latest for resumer in ready):
            self._newest = Newest()
            for key, stretch in self._read.items():
                self._newest.note(key, stretch)
        wishes, ahead = self._wishes(ready)
        found = (self._range(key, wish) for key, wish in wishes.items())
        ranges = [wanted for wanted in found if wanted is not None]
        self._turn += 1  # where a round's bytes are not enough for all, each gets its turn
        turn = self._turn % len(ranges) if ranges else 0
        ranges = ranges[turn:] + ranges[:turn]
        return ranges, [*(wanted.key for wanted in ranges), *ahead]

    def take(
        self, wanted: Range, entries: Sequence[tuple[EntryId, bytes]], *, is_all: bool
    ) -> list[Symbol]:
        """Entries of one of the round's ranges, and whether that is all of it.

        Returns the symbols that were not known before: the hub must be told that they are carried.
        """
        stretch, stop_messages = self._read.get(wanted.key), self._bounds.stop_messages
        if stretch is None or stretch.reached != wanted.first or stretch.size > self._share():
            stretch = None  # what is there is of no use for this, or enough
        for entry_id, payload in entries:
            content = decode_entry(payload, is_bars=wanted.key in self._bars)
            if entry_id == wanted.first:
                number = content.meta.number if isinstance(content, Block) else None
                stretch = stretch or Stretch(wanted.first, stop_messages, number)
            elif content is not None:
                stretch = stretch or Stretch(wanted.first, stop_messages)
                stretch.add(entry_id, content)
        stretch = stretch or Stretch(wanted.first, stop_messages)
        if is_all and (not entries or entries[-1][0] != wanted.last):
            self._cut.add(wanted.key)
        stretch.reached = wanted.last if is_all else entries[-1][0]
        self._read[wanted.key] = stretch
        self._doubtful[wanted.key] = wanted
        if self._newest is not None:
            self._newest.note(wanted.key, stretch)
        self._forget()
        found = (s for channel in stretch.channels() for s in stretch.symbols(channel))
        return self._market.add_symbols(found)

    def learn(self, states: Mapping[str, StreamState]) -> None:
        """The states asked for, all taken after the round was read.

        Where the end of what was read is not there, it is read again: after a failover of Redis
        writers repeat what the new master lacks.
        """
        for key, wanted in self._doubtful.items():
            state = states[key]
            hole = state.hole(wanted) if state.reaches(wanted.last) else None
            if hole is not None:
                self._read[key].hole = max(self._read[key].hole, hole)
            elif key in self._cut or not state.reaches(wanted.last):
                self._short.add(key)
                del self._read[key]
        self._doubtful = {}
        self._forget()

    def serve(self, resumer: Resumer, *, waited: bool = False, over: bool = False) -> Served:
        """What *resumer* gets from this round and the tail.

        Then it joins the hub at once, or :meth:`advance` is called. *waited*: no longer for what
        this gateway, or Redis, does not have; *over*: no longer for anything.
        """
        if self.plans.lacks(self._positions.feeds()):  # found in the middle of a round
            self.plans.refresh(self._positions.feeds())
            self._forget()
        if resumer.plan.is_loose:  # the tail may hold symbols that were not known before
            self.plans.look_up(resumer.plan)
        view = self._view(resumer.at)
        lost = self._lost(resumer, view, over=over)
        absent = self._absent(resumer, view) - lost
        is_beyond = view.is_beyond
        if (absent or is_beyond) and not (waited or over):
            return Served(waits=True)
        gaps: Sequence[Gap] = ()
        if lost or absent or is_beyond:
            gaps = self._give_up(resumer, lost | absent, is_beyond=is_beyond)
            view = self._view(resumer.at)
        if gaps or resumer.floors or resumer.plan.users == 1:
            return self._served(resumer, view, gaps)
        alike = (resumer.plan, resumer.codec, resumer.latest, id(resumer.at), id(resumer.origin))
        if alike not in self._served_alike:
            self._served_alike[alike] = self._served(resumer, view, ())
        return self._served_alike[alike]

    def turn(self, resumer: Resumer, names: tuple[Name, ...], bounds: PlanBounds) -> None:
        """*resumer* wants *names* within *bounds* from where it is, perhaps amid a round."""
        before = resumer.plan
        resumer.follow(self.plans.enter(names, bounds))  # looked up before it is served
        self.plans.leave(before)

    def advance(self, resumer: Resumer) -> None:
        """*resumer* has got what it was served, and does not join yet."""
        step = (id(resumer.at), resumer.latest)
        if step not in self._steps:
            view = self._view(resumer.at)
            moved = dict(resumer.at)
            for key in [*self._read, *self._tail.stretches]:
                place = view.place(key)
                moved[key] = place.middle if resumer.latest else place.end
            self._steps[step] = resumer.at, moved
        resumer.at = self._steps[step][1]

    def place(self, key: str, at: EntryId) -> _Place:
        """What comes after the entry *at* of stream *key*."""
        parts: list[tuple[Stretch, EntryId]] = []
        middle, start = at, self._tail.start(key)
        read, published = self._read.get(key), self._tail.stretches.get(key)
        if read is not None and self._is_read(key, at) and at < start:
            middle = read.next_stop(at)
            parts.append((read, middle))
        end = middle
        if published is not None and start <= middle < published.reached:
            end = published.next_stop(middle)
            parts.append((published, end))
        return _Place(tuple(parts), middle, end)

    def _wishes(self, ready: Collection[Resumer]) -> tuple[dict[str, _Wish], dict[str, None]]:
        """By stream, what is wanted of it besides the tail; streams somebody is ahead in."""
        reached = self._positions.reached()
        wishes: dict[str, _Wish] = {}
        ahead: dict[str, None] = {}
        for at, streams in grouped(ready):
            beyond = [key for key in streams if at.get(key, ZERO_ID) > reached.get(key, ZERO_ID)]
            ahead |= dict.fromkeys(beyond)
            for key in () if beyond else streams:  # who is ahead gets nothing yet
                position = at.get(key, ZERO_ID)
                if position < self._tail.start(key):
                    self._wish(wishes.setdefault(key, _Wish()), key, position)
        return wishes, ahead

    def _wish(self, wish: _Wish, key: str, position: EntryId) -> None:
        read = self._read.get(key)
        if self._is_read(key, position):
            wish.is_inside = True
        elif read is not None and position == read.reached:
            wish.is_at_end = True
        else:
            wish.lowest = min(position, wish.lowest or position)

    def _range(self, key: str, wish: _Wish) -> Range | None:
        """What to read next: those who stand elsewhere wait until what is there is used up."""
        read, last = self._read.get(key), self._tail.start(key)
        if read is not None and wish.is_at_end:
            has_room = read.size <= self._share()
            return Range(key, read.reached, last) if has_room or not wish.is_inside else None
        if wish.lowest is None or wish.is_inside:
            return None
        return Range(key, wish.lowest, last)

    def _is_read(self, key: str, at: EntryId) -> bool:
        """Is the entry after *at* in memory, and known to be the one after it?"""
        read = self._read.get(key)
        return read is not None and key not in self._doubtful and read.after <= at < read.reached

    def _settle(self) -> None:
        """Before a round: what was read without a state after it is read again."""
        for key in self._doubtful:
            del self._read[key]
        self._doubtful = {}
        self._cut, self._short = set(), set()

    def _share(self) -> int:
        """Bytes that what is kept of one stream may take."""
        return self._bounds.read_bytes // max(1, len(self._read))

    def _served(self, resumer: Resumer, view: _View, gaps: Sequence[Gap]) -> Served:
        complete = all(self._leads_to_end(resumer, view, key) for key in resumer.plan.streams)
        parts: Iterable[Fragment] = ()
        if not resumer.latest:
            parts = self._missed(resumer, view)
        elif complete:
            parts = self._missed_newest(resumer)
        return Served(gaps, list(parts), complete)

    def _leads_to_end(self, resumer: Resumer, view: _View, key: str) -> bool:
        """Is *resumer* at the live end of stream *key* with what there is for it now?"""
        place = view.place(key)
        if resumer.latest:  # all of the tail is little for it
            return place.middle >= self._tail.start(key)
        return place.end == self._positions.reached().get(key, ZERO_ID)

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

    def _absent(self, resumer: Resumer, view: _View) -> set[str]:
        """Streams of which the client has seen more than this gateway, or this one than they hold.

        Either is so for a moment only, or what is not there is lost.
        """
        reached = self._positions.reached()
        absent = set()
        for key in resumer.plan.streams:
            at = view.at.get(key, ZERO_ID)
            if at > reached.get(key, ZERO_ID) or (
                key in self._short and at < self._tail.start(key)
            ):
                absent.add(key)
        return absent

    def _lost(self, resumer: Resumer, view: _View, *, over: bool) -> set[str]:
        """Streams of which something is gone that the client has not got."""
        lost = set()
        for key in resumer.plan.streams:
            at, place = view.at.get(key, ZERO_ID), view.place(key)
            if any(stretch.hole > at for stretch, _ in place.parts) or (
                over and not self._leads_to_end(resumer, view, key)
            ):
                lost.add(key)
        return lost

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
                place = view.place(key)
                if place.parts:
                    after = begins_after(resumer, wanted, key, view.at)
                    yield from _fragments(resumer, wanted, place, after)

    def _missed_newest(self, resumer: Resumer) -> Iterator[Fragment]:
        """The newest message of each name and symbol, if it was missed."""
        for wanted in resumer.plan.wanted:
            newest: dict[tuple[Symbol, str], Latest] = {}
            for key in wanted.streams:
                after = begins_after(resumer, wanted, key, resumer.origin)
                heard = self._heard(key, wanted.channel)
                for name in spelled(resumer.plan, wanted, heard):
                    found = self._newest_of(key, wanted.channel, name[0]) or []
                    missed = [each for each in found if each[0] > after]
                    if missed:
                        newest[name] = max(newest.get(name, missed), missed, key=_entry_of)
            for (_, spelling), found in newest.items():
                messages = [message for _, message in found]
                yield message_fragment(wanted.channel, messages, spelling, resumer.codec)

    def _heard(self, key: str, channel: Channel) -> Collection[Symbol]:
        """Symbols with messages on *channel* in stream *key*, in rounds or tail."""
        published = self._tail.stretches.get(key)
        found = dict.fromkeys(self._newest.symbols(key, channel) if self._newest else ())
        return found | dict.fromkeys(published.symbols(channel) if published else ())

    def _newest_of(self, key: str, channel: Channel, symbol: Symbol) -> Latest | None:
        published = self._tail.stretches.get(key)
        found = published.newest(channel, symbol) if published else None
        before = self._newest.of(key, channel, symbol) if self._newest is not None else None
        return joined(before, found)


def _fragments(
    resumer: Resumer, wanted: Wanted, place: _Place, after: EntryId
) -> Iterator[Fragment]:
    channel, codec = wanted.channel, resumer.codec
    for stretch, last in place.parts:
        for symbol, spelling in spelled(resumer.plan, wanted, stretch.symbols(channel)):
            fragment = stretch.fragment(channel, symbol, spelling, codec, (after, last))
            if fragment is not None:
                yield fragment


def _entry_of(found: Latest) -> EntryId:
    return found[-1][0]
