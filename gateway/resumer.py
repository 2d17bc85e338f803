"""A client that resumes, and what it gets. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.channels import Channel, Codec
from gateway.frames import Fragment
from gateway.plans import Plan, Wanted
from storage.entry_id import ZERO_ID, EntryId

At = Mapping[str, EntryId]
"""Positions by stream key. Of a stream that is not there nothing was received."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Of what is kept in memory while clients resume."""

    read_bytes: int = 16 << 20  # of entries read, for who comes after
    tail_bytes: int = 32 << 20  # of published entries; beyond, who is behind reads them again
    stop_messages: int = 1_000  # of each stream, about half of what a client gets in one go


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

    def follow(self, plan: Plan) -> None:
        """Want what is in *plan* from here on; what began at a gap still does."""
        floors = {(wanted.channel, wanted.spelling): at for wanted, at in self.floors.items()}
        names = {(wanted.channel, wanted.spelling): wanted for wanted in plan.wanted}
        self.plan = plan
        self.floors = {names[name]: at for name, at in floors.items() if name in names}


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
    this gateway has read as far as the one that made the cursor, and Redis has all of that.
    """

    gaps: Sequence[Gap] = ()
    parts: Sequence[Fragment] = ()
    complete: bool = False
    waits: bool = False
    framed: dict[Any, bytes] = field(default_factory=dict)  # the parts, for the caller's use


def grouped(ready: Iterable[Resumer]) -> Iterable[tuple[At, set[str]]]:
    """Positions, each with the streams that those who stand there need."""
    found: dict[int, tuple[At, set[str]]] = {}
    for resumer in ready:
        _, streams = found.setdefault(id(resumer.at), (resumer.at, set()))
        streams |= resumer.plan.streams
    return found.values()


def begins_after(resumer: Resumer, wanted: Wanted, key: str, at: At) -> EntryId:
    """The entry of stream *key* behind which *resumer* gets what is *wanted*, being *at*."""
    position, floor = at.get(key, ZERO_ID), resumer.floors.get(wanted)
    return position if floor is None else max(position, floor.get(key, ZERO_ID))
