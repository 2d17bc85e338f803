"""What every venue's protocol gives to the session that speaks it."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from core.market.errors import SymbolError
from core.market.notice import Notice
from core.market.symbol import Symbol, make_symbol
from core.market.tick import Tick
from ingest.errors import ParseError

MAX_CACHED_SYMBOLS: Final = 20_000  # past that a venue is making names up; forget and go on
MAX_ID: Final = 2**63 - 1
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class NoteKind(enum.Enum):
    """What a venue says besides trades, as far as anybody acts on it."""

    SUBSCRIBED = "subscribed"
    REFUSED = "refused"  # a subscription or request was answered with an error
    LEAVING = "leaving"  # the venue asks to connect anew


@dataclass(frozen=True, slots=True)
class Note:
    """One remark of the venue, in its words."""

    kind: NoteKind
    text: str


@dataclass(slots=True)
class Parsed:
    """What one frame held. ``history`` are trades from before the subscription: not live.

    ``notices`` hold for the ticks and for what came before; ``replies`` are frames to send.
    """

    ticks: Sequence[Tick] = ()
    history: Sequence[Tick] = ()
    notices: Sequence[Notice] = ()
    replies: Sequence[str | bytes] = ()
    notes: Sequence[Note] = ()
    errors: list[ParseError] = field(default_factory=list)


class VenueProtocol(Protocol):
    """One venue's protocol for one connection's worth of symbols. Pure; frame in, trades out."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def url(self) -> str:
        """Where the venue is reached unless the spec says otherwise."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What the handshake says besides the usual."""
        ...

    def subscribe_frames(self) -> Sequence[str | bytes]:
        """What to send right after connecting, in order."""
        ...

    def probe_frame(self) -> str | bytes | None:
        """What to send on a silent connection to have it answer; None: the venue beats itself."""
        ...

    def parse(self, frame: str | bytes) -> Parsed:
        """Read one frame. Never raises: faults are listed in ``errors``, the rest is kept."""
        ...


class SymbolCache:
    """Canonical symbols by the venue's spelling; building one costs more than parsing a trade."""

    def __init__(self, venue: str, separator: str = "") -> None:
        """*separator*: what the venue puts where the canonical symbol has ``-``."""
        self._venue, self._separator = venue, separator
        self._symbols: dict[str, Symbol] = {}

    def get(self, ticker: str) -> Symbol:
        """The symbol of *ticker*.

        Raises:
            ValueError: it cannot be one.
        """
        symbol = self._symbols.get(ticker)
        if symbol is None:
            name = ticker.replace(self._separator, "-") if self._separator else ticker
            try:
                symbol = make_symbol(self._venue, name)
            except SymbolError as exc:
                raise ValueError(str(exc)) from exc
            if len(self._symbols) >= MAX_CACHED_SYMBOLS:
                self._symbols.clear()
            self._symbols[ticker] = symbol
        return symbol


def excerpt(frame: str | bytes) -> str:
    """The start of *frame* for a log line; bytes that are no text are shown escaped."""
    head = frame[:120]
    return head if isinstance(head, str) else head.decode("utf-8", "backslashreplace")
