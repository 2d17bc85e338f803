"""`tickgate backfill`: the trades of any span, from a venue's history into the bars."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from core.runtime.config import ConfigError, Loaded, Problem, mask
from ingest.backfill import Backfill, BackfillStreams, Outcome
from ingest.errors import SpecError
from ingest.gap_keeper import VenueGates, history_url
from ingest.history import make_history
from ingest.rest import VenueRest, open_session
from ingest.spec import FeedSpec, VenueOptions
from tickgate.arguments import Arguments, UsageError
from tickgate.history_streams import history_streams
from tickgate.ingest_role import ingest_limits
from tickgate.output import say
from tickgate.rules import problem
from tickgate.settings import Settings
from tickgate.spans import START, Span, read_span

log = logging.getLogger(__name__)

_PROGRESS_S = 1.0


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Backfill every feed in turn; exit code 1 where something of a span is missing afterwards."""
    span = _past(read_span(arguments))
    specs = [_spec(loaded, text) for text in loaded.values.feed]
    if not specs:
        raise ConfigError([problem(loaded, "feed", "a feed such as coinbase:BTC-USD")])
    wholes = [asyncio.run(_backfill(loaded.values, spec, span)) for spec in specs]
    return 0 if all(wholes) else 1


def _past(span: Span) -> Span:
    if span.start_ns > time.time_ns():
        raise UsageError(f"{START}: expected a time in the past")
    return span


def _spec(loaded: Loaded[Settings], text: str) -> FeedSpec:
    try:
        spec = FeedSpec.parse(text)
        if not isinstance(spec.options, VenueOptions) or not history_url(spec.feed, spec.options):
            accepted = "coinbase, binance or kraken, with rest_url where there is a url"
            raise SpecError(text, "the feed", spec.feed, accepted)
    except SpecError as exc:
        raise ConfigError([Problem(loaded.sources["feed"], "", mask(str(exc)))]) from exc
    return spec


async def _backfill(settings: Settings, spec: FeedSpec, span: Span) -> bool:
    """One feed; is all of the span in the bars?"""
    feed = f"backfill-{spec.feed}"
    async with history_streams(settings, feed=feed, venue=spec.venue) as opened:
        outcomes = await _run(settings, spec, span, streams=opened.streams)
        aside = await opened.aside()
    return _tell(spec, outcomes, aside)


async def _run(
    settings: Settings, spec: FeedSpec, span: Span, *, streams: BackfillStreams
) -> list[Outcome]:
    options = spec.options
    assert isinstance(options, VenueOptions)  # _spec() refuses others
    limits, history = ingest_limits(settings), make_history(spec.feed)
    url = history_url(spec.feed, options)
    async with open_session(limits) as http:
        rest = VenueRest(
            history=history,
            url=url,
            gate=VenueGates(limits=limits).get(history, url),
            http=http,
            max_bytes=limits.max_frame_bytes,
            now_ns=time.time_ns,
            monotonic_ns=time.monotonic_ns,
        )
        backfill = Backfill(
            rest=rest,
            streams=streams,
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            limits=limits,
            monotonic_ns=time.monotonic_ns,
            tell=_progress(spec.feed),
        )
        return await backfill.run(options.symbols)


def _progress(feed: str) -> Callable[[Outcome], None]:
    """Logs how far it is, once a second."""
    told_s = time.monotonic()

    def tell(outcome: Outcome) -> None:
        nonlocal told_s
        if outcome.last is not None and time.monotonic() - told_s >= _PROGRESS_S:
            told_s = time.monotonic()
            until = _stamp(outcome.last.event_ns)
            log.info("%s %s: %d trades, until %s", feed, outcome.ticker, outcome.trades, until)

    return tell


def _tell(spec: FeedSpec, outcomes: list[Outcome], aside: int) -> bool:
    for outcome in outcomes:
        text = f"{spec.feed} {outcome.ticker}: {outcome.trades} trades"
        if outcome.first is not None and outcome.last is not None:
            text += f" from {_stamp(outcome.first.event_ns)} to {_stamp(outcome.last.event_ns)}"
        if outcome.missing:
            text += f"; {outcome.missing} trades between them are not in the venue's history"
        if outcome.refused:
            text += f"; {outcome.refused} were refused, see the quarantine"
        say(text)
    if aside:
        say(
            f"{spec.feed}: {aside} trades were not counted: bars of their minutes are stored, and "
            "without a log of their ticks nobody can tell whether they have them already"
        )
    return not aside and not any(outcome.missing or outcome.refused for outcome in outcomes)


def _stamp(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
