"""`tickgate export bars|ticks SYMBOL…`: what the database has of a span, as a file.

Bars are read page by page, ticks by five minutes: memory does not grow with the span.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from core.market.bar_range import BarRange
from core.market.errors import TimeframeError
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side
from core.runtime.config import Loaded
from storage.bars import BarStore
from storage.tick_log import TickLog
from tickgate.arguments import Arguments, UsageError
from tickgate.files import columns
from tickgate.files.columns import Column, Table, rfc3339
from tickgate.files.options import (
    BARS,
    CSV,
    FORCE,
    FORMAT,
    OUTPUT,
    PARQUET,
    STDOUT,
    TICKS,
    TIMEFRAME,
)
from tickgate.files.target import Sink, format_of, open_target
from tickgate.files.tick_slots import merged_slots
from tickgate.output import complain, say
from tickgate.running_dev import with_database
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import Settings
from tickgate.spans import Span, read_span
from tickgate.traded import resolve

_PAGE: Final = 10_000
_SIDES: Final = {Side.UNKNOWN: "", Side.BUY: "buy", Side.SELL: "sell"}


class _Job(NamedTuple):
    """What is asked for."""

    is_ticks: bool
    words: list[str]
    span: Span
    resolution: Resolution
    path: str
    format: str
    force: bool

    @property
    def columns(self) -> Sequence[Column]:
        if not self.is_ticks:
            return columns.BARS
        return columns.REPLAY if self.format == CSV else columns.TICKS


class _Outcome(NamedTuple):
    rows: int
    symbols: int
    lacking: list[str]  # what of the span is not there to export, in words


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Write the file; exit code 1 where the log of ticks does not reach back to the start."""
    job, settings = _job(arguments), with_database(loaded.values)
    try:
        with open_target(job.path, job.format, job.columns, force=job.force) as sink:
            outcome = asyncio.run(_export(settings, job, sink))
    except BrokenPipeError:  # who reads has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    what = "ticks" if job.is_ticks else f"{job.resolution.name} bars"
    tell = complain if job.path == STDOUT else say
    tell(f"{job.path}: {outcome.rows} {what} of {outcome.symbols} symbols")
    for text in outcome.lacking:
        complain(text)
    return 1 if outcome.lacking else 0


def _job(arguments: Arguments) -> _Job:
    what, *words = arguments.words
    if what not in (BARS, TICKS):
        raise UsageError(f"{what!r}: expected bars or ticks, then symbols")
    if not words:
        raise UsageError(f"{what}: expected at least one symbol after it")
    options = arguments.options
    path, name = options[OUTPUT], options.get(TIMEFRAME, "")
    if name and what == TICKS:
        raise UsageError(f"{TIMEFRAME}: ticks have none")
    try:
        resolution = Resolution.parse(name or "1Min")
    except TimeframeError as exc:
        raise UsageError(f"{TIMEFRAME}: {exc}") from exc
    kind = options.get(FORMAT) or format_of(path) or (CSV if path == STDOUT else "")
    if not kind:
        raise UsageError(
            f"{FORMAT}: expected csv or parquet, as {path!r} ends with none of .csv, .csv.gz and "
            ".parquet"
        )
    force = FORCE[0] in arguments.switches
    return _Job(what == TICKS, words, read_span(arguments), resolution, path, kind, force)


async def _export(settings: Settings, job: _Job, sink: Sink) -> _Outcome:
    database = GatedDatabase(settings)
    await database.open()
    try:
        store = BarStore(database)
        symbols = resolve(job.words, [row.symbol for row in await store.symbols()])
        if job.is_ticks:
            log = store.tick_log(shards=settings.shards)
            tables, lacking = _ticks(log, symbols, job), await _lacking(log, symbols, job.span)
        else:
            tables, lacking = _bars(store, symbols, job), []
        rows = 0
        async for table in tables:
            sink.write(table)
            rows += len(table["symbol"])
        return _Outcome(rows, len(symbols), lacking)
    finally:
        await database.close()


async def _bars(store: BarStore, symbols: Sequence[Symbol], job: _Job) -> AsyncIterator[Table]:
    """Closed bars that start in the span, by symbol, then time."""
    running_ns = dict.fromkeys(
        symbols, time.time_ns()
    )  # a rolled bar is whole by then, or left out
    after: tuple[Symbol, int] | None = None
    while True:
        page = BarRange(
            symbols=symbols,
            resolution=job.resolution,
            start_ns=job.span.start_ns,
            end_ns=job.span.end_ns - 1,
            limit=_PAGE,
            after=after,
        )
        bars = await store.page(page, running_ns=running_ns)
        if bars:
            starts = [bar.start_ns for bar in bars]
            names = [
                column.name for column in columns.BARS if column.name not in ("time", "timeframe")
            ]
            yield {
                "time": starts,
                "timeframe": [job.resolution.name] * len(bars),
                **{name: [getattr(bar, name) for bar in bars] for name in names},
            }
        if len(bars) < _PAGE:
            return
        after = (bars[-1].symbol, bars[-1].start_ns)


async def _ticks(log: TickLog, symbols: Sequence[Symbol], job: _Job) -> AsyncIterator[Table]:
    """Ticks with an event time in the span, all symbols together by time, for a replay."""
    names = [symbol if job.format == PARQUET else _ticker(symbols, symbol) for symbol in symbols]
    async for ticks in merged_slots(log, symbols, *job.span):
        for at in range(0, len(ticks), _PAGE):
            some = slice(at, at + _PAGE)
            yield {
                "symbol": [names[index] for index in ticks.symbol_index[some].tolist()],
                "trade_id": [None if i == NO_ID else i for i in ticks.trade_id[some].tolist()],
                "event_ns": ticks.event_ns[some].tolist(),
                "side": [_SIDES[Side(side)] for side in ticks.side[some].tolist()],
                "price": ticks.price[some].tolist(),
                "size": ticks.size[some].tolist(),
                "seq": ticks.seq[some].tolist(),
            }


def _ticker(symbols: Sequence[Symbol], symbol: Symbol) -> str:
    """A symbol in a replay file: the venue is named when it is replayed."""
    venues = sorted({each.partition(":")[0] for each in symbols})
    if len(venues) > 1:
        raise UsageError(
            f"symbols of {' and '.join(venues)}: a replay file has those of one venue; export one "
            "venue at a time, or to Parquet"
        )
    return symbol.partition(":")[2]


async def _lacking(log: TickLog, symbols: Sequence[Symbol], span: Span) -> list[str]:
    said = []
    for symbol in symbols:
        from_ns = await log.covered_from(symbol)
        if from_ns is None:
            said.append(f"{symbol}: there is no log of its ticks")
        elif from_ns > span.start_ns:
            begins = rfc3339(from_ns)
            said.append(f"{symbol}: the log of its ticks begins at {begins}; before it is nothing")
    return said
