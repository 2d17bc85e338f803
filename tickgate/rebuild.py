"""`tickgate rebuild SYMBOL… --start --end`: bars folded again from the log of ticks.

The aggregator that owns a symbol's shard does the work, as it alone knows what is in memory; this
command asks for it, an hour of bars at a time, by way of the database, and prints what changed.
"""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import SECOND_NS, Timeframe
from core.runtime.config import Loaded
from storage.bars import BarStore
from storage.rebuilds import RebuildReport, Rebuilds, RebuiltBar
from tickgate.arguments import Arguments, UsageError
from tickgate.asking import answers
from tickgate.output import say
from tickgate.running_dev import with_database
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import Settings
from tickgate.spans import END, Span, read_span
from tickgate.traded import resolve

_PIECE_NS: Final = 3_600 * SECOND_NS  # of a request: folded anew within a fraction of a second
_MOST_DAYS: Final = 31  # of a command
_QUARTER_NS: Final = Timeframe.MIN_15.ns
_WHAT: Final = ("open", "high", "low", "close", "volume", "trades", "vwap")
_LEFT: Final = ("uncovered", "without_ticks", "without_minutes", "unreadable")  # as they were


class _Found(NamedTuple):
    """What became of one symbol."""

    symbol: Symbol
    reports: list[RebuildReport]

    @property
    def changed(self) -> list[RebuiltBar]:
        return [bar for report in self.reports for bar in report.changed]

    def total(self, name: str) -> int:
        """The sum of a count of the reports."""
        return sum(getattr(report, name) for report in self.reports)

    def is_well(self, *, dry_run: bool) -> bool:
        """Is every bar of the range now what the log says?"""
        left = sum(map(self.total, _LEFT))
        is_covered = all(report.covered_from_ns is not None for report in self.reports)
        return is_covered and not left and not (dry_run and self.changed)


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Rebuild, and print what changed; exit code 1 where a bar is not what the log says."""
    span = _quarters(read_span(arguments))
    dry_run = "--dry-run" in arguments.switches
    found = asyncio.run(
        _rebuild(with_database(loaded.values), arguments.words, span, dry_run=dry_run)
    )
    for each in found:
        _show(each, dry_run=dry_run)
    return 0 if all(each.is_well(dry_run=dry_run) for each in found) else 1


def _quarters(span: Span) -> Span:
    """Quarters of an hour that hold *span*: the longest bars, which are rebuilt too."""
    start_ns, end_ns = span.start_ns // _QUARTER_NS, -(-span.end_ns // _QUARTER_NS)
    if (end_ns - start_ns) * _QUARTER_NS > _MOST_DAYS * 86_400 * SECOND_NS:
        raise UsageError(
            f"{END}: expected at most {_MOST_DAYS} days after --start; go on from there"
        )
    return Span(start_ns * _QUARTER_NS, end_ns * _QUARTER_NS)


def _pieces(span: Span) -> Iterator[Span]:
    """Whole hours, save for the first and the last."""
    start_ns = span.start_ns
    while start_ns < span.end_ns:
        end_ns = min((start_ns // _PIECE_NS + 1) * _PIECE_NS, span.end_ns)
        yield Span(start_ns, end_ns)
        start_ns = end_ns


async def _rebuild(
    settings: Settings, words: Sequence[str], span: Span, *, dry_run: bool
) -> list[_Found]:
    database = GatedDatabase(settings)
    await database.open()
    try:
        store = BarStore(database)
        symbols = resolve(words, [row.symbol for row in await store.symbols()])
        rebuilds = store.rebuilds(shards=settings.shards)
        return [
            _Found(symbol, await _ask(rebuilds, symbol, span, dry_run=dry_run))
            for symbol in symbols
        ]
    finally:
        await database.close()


async def _ask(
    rebuilds: Rebuilds, symbol: Symbol, span: Span, *, dry_run: bool
) -> list[RebuildReport]:
    """The reports on all pieces of *span*, oldest first."""
    found: dict[Span, RebuildReport] = {}

    async def ask(piece: Span) -> int:
        return await rebuilds.ask(symbol, *piece, dry_run=dry_run)

    async with aclosing(answers(rebuilds, _pieces(span), ask)) as heard:
        async for piece, report in heard:
            assert isinstance(report, RebuildReport)  # no bars were given
            found[piece] = report
    return [found[piece] for piece in sorted(found)]


def _show(found: _Found, *, dry_run: bool) -> None:
    for bar in found.changed:
        for line in _lines(found.symbol, bar):
            say(line)
    if any(report.covered_from_ns is None for report in found.reports):
        say(f"{found.symbol}: there is no log of its ticks; its bars are as they were")
        return
    if found.total("unreadable"):
        say(f"{found.symbol}: a row of the log cannot be read, see the log of the aggregator")
    counts = Counter(bar.timeframe.value for bar in found.changed)
    said = [f"{found.total('same')} 1-minute bars are as the log says"]
    said += [
        f"{count} of {name} {'would change' if dry_run else 'changed'}"
        for name, count in counts.items()
    ]
    left = {
        "uncovered": "are from before the log begins and are as they were",
        "without_ticks": "have no tick in the log and are as they were",
        "without_minutes": (
            "of 5Min and 15Min have minutes that are neither stored nor in the log"
            " and are as they were"
        ),
        "open": "still open",
    }
    said += [f"{found.total(name)} {text}" for name, text in left.items() if found.total(name)]
    say(f"{found.symbol}: {'; '.join(said)}")


def _lines(symbol: Symbol, bar: RebuiltBar) -> Iterator[str]:
    """One line for each value that differs."""
    start = dt.datetime.fromtimestamp(bar.start_ns // SECOND_NS, dt.UTC)
    head = f"{symbol:<20} {bar.timeframe.value:<6} {start:%Y-%m-%dT%H:%M}Z"
    names = [name for name in _WHAT if _value(bar.before, name) != _value(bar.after, name)]
    for name in names or ["order"]:  # of equal prices: another trade sets open or close
        before, after = _value(bar.before, name), _value(bar.after, name)
        yield f"{head} {name:<7} {before:>16} -> {after:<16} rev {bar.after.rev}"


def _value(bar: Bar | None, name: str) -> str:
    return "-" if bar is None or name == "order" else repr(getattr(bar, name))
