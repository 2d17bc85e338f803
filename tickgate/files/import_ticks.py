"""Ticks of a file put through the streams into the bars, as a backfill does."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from typing import Final

from core.market.tick import Tick
from ingest.backfill import BackfillStreams
from tickgate.files.columns import rfc3339
from tickgate.files.given_rows import GivenRow
from tickgate.files.source import SourceError
from tickgate.history_streams import history_streams
from tickgate.output import say
from tickgate.settings import Settings

_SLICE: Final = 2_000


async def import_ticks(
    settings: Settings, path: str, rows: Iterator[GivenRow[Tick]], venue: str
) -> bool:
    """Put *rows*, all of *venue*, on streams of their own; are all of them counted then?

    Those that are in their bars already are not counted again, so it may be done again.

    Raises:
        SourceError: the file is another than it was.
        NobodyFolds: no aggregator takes them.
        HistoryRuns: another process imports ticks of this venue.
        StreamUnavailable: Redis refuses.
    """
    some = await asyncio.to_thread(_some, path, rows)
    feed = f"import-{venue.lower()}"
    async with history_streams(settings, feed=feed, venue=venue) as opened:
        put = _Put(opened.streams, settings.max_lateness_s * 10**9)
        while some:
            await put.put(some)
            some = await asyncio.to_thread(_some, path, rows)
        await put.end()
        await opened.streams.folded()
        aside = await opened.aside()
    span = f"{rfc3339(put.first_ns)} to {rfc3339(put.last_ns)}"
    say(
        f"{path}: {put.ticks} ticks of {venue} from {span} went through; those known before under "
        "the same id count no second time, and were not compared"
    )
    if aside:
        say(
            f"{path}: {aside} ticks were set aside: bars of their minutes are stored, and without "
            "a log of their ticks nobody can tell whether they have them already"
        )
    return not aside


class _Put:
    """Ticks in any order: where time jumps back, it begins anew, so that none is too late."""

    def __init__(self, streams: BackfillStreams, lateness_ns: int) -> None:
        self._streams, self._lateness_ns = streams, lateness_ns
        self.ticks = 0
        self.first_ns, self.last_ns = 2**63 - 1, -(2**63)
        self._newest_ns = -(2**63)

    async def put(self, ticks: list[Tick]) -> None:
        """Put all of *ticks*, in order."""
        start = 0
        for at, tick in enumerate(ticks):
            if tick.event_ns < self._newest_ns - self._lateness_ns:
                await self._streams.put(ticks[start:at])
                await self.end()
                start = at
            self._newest_ns = max(self._newest_ns, tick.event_ns)
            self.first_ns = min(self.first_ns, tick.event_ns)
        await self._streams.put(ticks[start:])
        self.ticks += len(ticks)

    async def end(self) -> None:
        """Close the windows that the ticks are in."""
        await self._streams.end([])
        self._streams.begin()
        self.last_ns = max(self.last_ns, self._newest_ns)
        self._newest_ns = -(2**63)


def _some(path: str, rows: Iterator[GivenRow[Tick]]) -> list[Tick]:
    found = []
    for row in islice(rows, _SLICE):
        if row.value is None:
            raise SourceError(path, f"changed while it was read: line {row.line}: {row.error}")
        found.append(row.value)
    return found
