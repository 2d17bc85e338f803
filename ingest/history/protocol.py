"""What every venue's history of trades gives to those who ask it."""

from dataclasses import dataclass
from typing import Protocol

from core.market.symbol import Symbol
from core.market.tick import Tick


@dataclass(frozen=True, slots=True)
class Want:
    """Trades ``first`` to ``last`` of ``ticker``, as the venue writes it.

    ``since_ns`` is the event time of a trade at or before ``first``. Venues whose history is
    paged by id do not look at it.
    """

    ticker: str
    first: int
    last: int
    since_ns: int


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: ``ticks`` are wanted ones, by id; ``rest`` is what to ask for next (None: all
    that was wanted has been asked for).
    """

    ticks: list[Tick]
    rest: Want | None


class TradeHistory(Protocol):
    """The REST history of one venue. Pure: addresses out, answers in."""

    @property
    def name(self) -> str:
        """For messages, and for what all who ask this venue share."""
        ...

    @property
    def url(self) -> str:
        """Where it is reached unless the spec says otherwise."""
        ...

    @property
    def requests_per_s(self) -> float:
        """What the venue allows everybody, with some room left for others at this address."""
        ...

    def symbol(self, ticker: str) -> Symbol:
        """The symbol of *ticker*."""
        ...

    @property
    def is_by_time(self) -> bool:
        """Are pages found by time alone? Else by id, and :meth:`newest_path` names the last one."""
        ...

    def newest_path(self, ticker: str) -> str:
        """Path and query of a page that has the newest trade of *ticker*."""
        ...

    def path(self, want: Want) -> str:
        """Path and query of the first page of *want*."""
        ...

    def read(self, want: Want, body: bytes) -> Page:
        """The answer to :meth:`path` of *want*.

        Raises:
            HistoryError: it is none that the venue documents, or says in words that it is none.
        """
        ...
