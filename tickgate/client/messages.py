"""What a stream yields: frozen, typed messages. Pure.

Times are UNIX nanoseconds, UTC, in fields that end in ``_ns``; the property of the same name
without it is a :class:`~datetime.datetime`, which is exact to the microsecond. ``symbol`` is the
spelling of the subscription.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
ONE_MINUTE: Final = "1Min"


def to_datetime(time_ns: int) -> datetime:
    """UNIX nanoseconds as UTC; what is finer than a microsecond is cut off."""
    return _EPOCH + timedelta(microseconds=time_ns // 1_000)


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade. ``id`` is the venue's, None if it has none; ``taker`` is ``B``, ``S`` or None."""

    symbol: str
    price: float
    size: float
    time_ns: int
    id: int | None = None
    taker: str | None = None

    @property
    def time(self) -> datetime:
        """When the venue says it happened."""
        return to_datetime(self.time_ns)


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar of the window ``[start, start + timeframe)``, by the venue's event time.

    ``vwap`` is the average price by volume. ``rev`` counts revisions, not always by one. ``gap``:
    trades are known to be missing. A bar with ``trades`` 0 has lost its last trade: take it away.
    """

    symbol: str
    timeframe: str
    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    vwap: float
    rev: int = 0
    final: bool = True
    gap: bool = False

    @property
    def start(self) -> datetime:
        """Start of the window."""
        return to_datetime(self.start_ns)


class UpdatedBar(Bar, frozen=True, gc=False):
    """A closed bar, once more: late trades, corrections or cancels have changed it."""


class RunningBar(Bar, frozen=True, gc=False):
    """A bar whose window is open, as it stands; ``final`` is False."""


class Correction(msgspec.Struct, frozen=True, gc=False):
    """The venue replaces a trade by another one, which keeps the event time of the first."""

    symbol: str
    id: int
    price: float
    size: float
    new_id: int
    new_price: float
    new_size: float
    time_ns: int

    @property
    def time(self) -> datetime:
        """When the venue said so."""
        return to_datetime(self.time_ns)


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """The venue takes a trade back; ``action`` is ``C`` cancelled or ``E`` an error."""

    symbol: str
    id: int
    price: float
    size: float
    time_ns: int
    action: str = "C"
    taker: str | None = None

    @property
    def time(self) -> datetime:
        """When the venue said so."""
        return to_datetime(self.time_ns)


class Gap(msgspec.Struct, frozen=True):
    """Something of ``channels`` is missing between two times.

    ``open`` and ``filled`` tell of trades that a venue left out and that came later. ``lost`` will
    not come on this stream: ask the history for it. ``from_ns`` is 0 where it is not known since
    when. ``first`` and ``last`` are the missing trades' ids where they are known.
    """

    symbol: str
    from_ns: int
    to_ns: int
    state: Literal["open", "filled", "lost"]
    channels: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None

    @property
    def start(self) -> datetime:
        """Everything up to then is whole."""
        return to_datetime(self.from_ns)

    @property
    def end(self) -> datetime:
        """Everything after that is whole again."""
        return to_datetime(self.to_ns)


class Heartbeat(msgspec.Struct, frozen=True):
    """The gateway lives: its time, and the newest event time of each running feed."""

    time_ns: int
    feeds: Mapping[str, int | None]

    @property
    def time(self) -> datetime:
        """By the gateway's clock."""
        return to_datetime(self.time_ns)


class Stale(msgspec.Struct, frozen=True):
    """A feed has gone silent, or no longer is (``stale`` False).

    ``newest_ns`` is the newest event time of the feed, None before its first tick; ``since_ns``
    when the last tick came, by the gateway's clock. ``ended``: the feed has come to its end.
    """

    feed: str
    venue: str
    stale: bool
    newest_ns: int | None
    since_ns: int
    ended: bool = False

    @property
    def since(self) -> datetime:
        """When the last tick came."""
        return to_datetime(self.since_ns)


class Shutdown(msgspec.Struct, frozen=True):
    """The gateway goes down and closes this connection within so many seconds.

    Nothing is to be done: the client goes on elsewhere, where it stopped.
    """

    reason: str
    within_s: float


Message = (
    Trade | Bar | UpdatedBar | RunningBar | Correction | Cancel | Gap | Heartbeat | Stale | Shutdown
)
"""What a stream yields; later versions may add types, so leave room for what is unknown."""
