"""An answer's bytes, ready to be sent or kept. Pure."""

import enum
from dataclasses import dataclass, field
from typing import Final

import msgspec

from core.market.symbol import Symbol
from gateway.http.validators import entity_tag, packed_tag

JSON: Final = "application/json"
_PACKED_TYPES: Final = frozenset({JSON, "text/csv", "text/plain"})
_MIN_PACKED: Final = 1_024  # bytes; smaller ones fit a packet anyway


class Life(enum.Enum):
    """For how long an answer stays right."""

    CLOSED = "closed"
    """Every window in it is over: until a late trade revises one, or a bar comes after all."""

    RUNNING = "running"
    """It shows the present: for a second at most."""

    NEVER = "never"
    """For this request alone."""


class Answer(msgspec.Struct, frozen=True, eq=False):
    """What a data endpoint has to say to a request.

    ``symbols`` are those whose bars it was made of, whether there were any or not. ``span_ns``
    are the first and the last window start that may be in it, UNIX nanoseconds, inclusive; None:
    any bar of these symbols may change it.
    """

    body: bytes
    content_type: str
    symbols: tuple[Symbol, ...]
    life: Life
    span_ns: tuple[int, int] | None = None
    headers: tuple[tuple[str, str], ...] = ()  # besides those that all answers have


@dataclass(slots=True, eq=False)
class Ready:
    """An answer with its tag; see :mod:`gateway.http.packing` for its gzip form."""

    answer: Answer
    tag: str
    packed: bytes | None = field(default=None)

    @classmethod
    def of(cls, answer: Answer) -> "Ready":
        return cls(answer, entity_tag(answer.body))

    @property
    def packable(self) -> bool:
        """Is it worth to be packed?"""
        answer = self.answer
        return len(answer.body) >= _MIN_PACKED and answer.content_type in _PACKED_TYPES

    @property
    def packed_tag(self) -> str:
        """The tag of the packed form."""
        return packed_tag(self.tag)
