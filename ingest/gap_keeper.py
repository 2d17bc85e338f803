"""Gap keeper: what a live feed needs to know, fill and tell its gaps, put together."""

from dataclasses import dataclass, field

from core.market.symbol import Symbol
from core.runtime.ports import Clock, MonotonicClock
from ingest.feed import FeedJournal
from ingest.gap_filler import GapFiller
from ingest.gap_resume import resume_watch
from ingest.gap_watch import GapWatch
from ingest.history import TradeHistory, make_history
from ingest.limits import IngestLimits
from ingest.publisher import Publisher
from ingest.rest import VenueRest, open_session
from ingest.spec import VENUES, FeedSpec, VenueOptions
from ingest.venue_gate import VenueGate
from storage.gap_memory import GapMemory
from storage.keys import StreamKeys
from storage.redis import Redis
from storage.stream_ends import StreamEnds


@dataclass(slots=True, kw_only=True)
class VenueGates:
    """The gates of one process: all feeds of a venue, at one address, go through the same one."""

    limits: IngestLimits
    gates: dict[tuple[str, str], VenueGate] = field(default_factory=dict)

    def get(self, history: TradeHistory, url: str) -> VenueGate:
        """The gate of *history* at *url*."""
        key = (history.name, url)
        if key not in self.gates:
            self.gates[key] = VenueGate(
                history.name,
                requests_per_s=history.requests_per_s,
                retry_after_s=self.limits.history_probe_s,
            )
        return self.gates[key]


def history_url(feed: str, options: VenueOptions) -> str:
    """Where the trade history of *feed* is; empty where nobody said so.

    A feed with an address of its own is another market, so the venue's history is not its own.
    """
    if feed not in VENUES:
        return ""  # its ids have holes
    own = "" if options.url else make_history(feed).url
    return (options.rest_url or own).rstrip("/")


class GapKeeper:
    """The gaps of one feed of a live venue."""

    def __init__(
        self,
        spec: FeedSpec,
        options: VenueOptions,
        *,
        gates: VenueGates,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
    ) -> None:
        """*options* are those of *spec*."""
        self._history = make_history(spec.feed)
        self._url = history_url(spec.feed, options)
        self._gate = gates.get(self._history, self._url)
        self._limits, self._now_ns, self._monotonic_ns = gates.limits, now_ns, monotonic_ns
        self._tickers: dict[Symbol, str] = {
            self._history.symbol(ticker): ticker for ticker in options.symbols
        }

    async def watch(self, redis: Redis, keys: StreamKeys, feed: str) -> GapWatch:
        """A watch that goes on where the last one of *feed* was.

        Raises:
            StreamUnavailable: Redis is away; try again.
        """
        watch = GapWatch(settle_ns=self._limits.gap_settle_ns)
        await resume_watch(
            watch,
            memory=GapMemory(redis, keys, feed),
            ends=StreamEnds(redis),
            keys=keys,
            feed=feed,
            symbols=self._tickers,
        )
        return watch

    async def run(self, watch: GapWatch, publisher: Publisher, journal: FeedJournal) -> None:
        """Fill what *watch* finds, until cancelled."""
        async with open_session(self._limits) as http:
            rest = VenueRest(
                history=self._history,
                url=self._url,
                gate=self._gate,
                http=http,
                max_bytes=self._limits.max_frame_bytes,
                now_ns=self._now_ns,
                monotonic_ns=self._monotonic_ns,
            )
            filler = GapFiller(
                watch=watch,
                outlet=publisher,
                journal=journal,
                rest=rest if self._url else None,
                tickers=self._tickers,
                limits=self._limits,
                monotonic_ns=self._monotonic_ns,
            )
            await filler.run()
