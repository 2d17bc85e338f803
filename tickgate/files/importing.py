"""`tickgate import bars|ticks PATH…`: files into the bars, checked as wholes before anything is.

Nothing of any file is imported while a row of one is bad. After that an import may be interrupted
and run again: what is there already does not count twice.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from core.market.errors import SymbolError
from core.market.symbol import make_symbol
from core.runtime.config import Loaded
from tickgate.arguments import Arguments, UsageError
from tickgate.files.given_rows import GivenRow, bar_rows, tick_rows
from tickgate.files.import_bars import import_bars
from tickgate.files.import_ticks import import_ticks
from tickgate.files.options import BARS, DRY_RUN, REPLACE, TICKS, VENUE
from tickgate.files.repeats import Repeats
from tickgate.output import complain, say
from tickgate.running_dev import with_database, with_redis
from tickgate.settings import Settings

_SHOWN: Final = 20  # bad rows that are told one by one


@dataclass(slots=True)
class _Check:
    """What is in one file."""

    path: str
    rows: int = 0
    bad: int = 0
    symbols: set[str] = field(default_factory=set)

    def note(self, row: GivenRow[Any]) -> None:
        """Count *row*, and tell what is wrong with it."""
        self.rows += 1
        if row.value is not None:
            self.symbols.add(row.value.symbol)
            return
        self.bad += 1
        if self.bad <= _SHOWN:
            complain(f"{self.path}:{row.line}: {row.error}")

    def venues(self) -> list[str]:
        """Those of its symbols, sorted."""
        return sorted({symbol.partition(":")[0] for symbol in self.symbols})


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Import all files, or none; exit code 1 where something is not in the bars afterwards."""
    what, *paths = arguments.words
    if what not in (BARS, TICKS):
        raise UsageError(f"{what!r}: expected bars or ticks, then files")
    if not paths:
        raise UsageError(f"{what}: expected at least one file after it")
    if what == TICKS and REPLACE[0] in arguments.switches:
        raise UsageError(f"{REPLACE[0]}: ticks replace nothing, they are counted once")
    venue = _venue(arguments.options.get(VENUE, ""))
    settings = with_redis(loaded.values) if what == TICKS else with_database(loaded.values)
    job = _Job(settings, what == TICKS, venue, arguments.switches)
    with closing(Repeats()) as repeats:
        checks = [job.check(path, repeats) for path in paths]
        contradict = _contradictions(repeats)
    if contradict or any(check.bad for check in checks):
        complain("nothing was imported")
        return 1
    if job.is_ticks and DRY_RUN[0] in arguments.switches:
        return 0
    done = [job.work(check) for check in checks]
    return 0 if all(done) else 1


@dataclass(frozen=True, slots=True)
class _Job:
    settings: Settings
    is_ticks: bool
    venue: str
    switches: frozenset[str]

    def rows(self, path: str) -> Iterator[GivenRow[Any]]:
        """The rows of one file, judged."""
        now_ns = time.time_ns()
        if self.is_ticks:
            return tick_rows(path, self.venue, until_ns=now_ns)
        behind_ns = self.settings.dedup_horizon_s * 10**9 + self.settings.max_future_ms * 10**6
        return bar_rows(path, self.venue, until_ns=now_ns - behind_ns)

    def check(self, path: str, repeats: Repeats) -> _Check:
        """Read all of one file, and tell what is wrong with it; its ticks go to *repeats*."""
        found = _Check(path)
        for row in self.rows(path):
            found.note(row)
            if self.is_ticks and row.value is not None:
                repeats.add(path, row.line, row.value)
        if found.bad > _SHOWN:
            complain(f"{path}: {found.bad - _SHOWN} more rows are bad")
        what = "ticks" if self.is_ticks else "bars"
        said = f"{path}: {found.rows} {what} of {len(found.symbols)} symbols"
        say(said + (f", {found.bad} of them bad" if found.bad else ""))
        return found

    def work(self, check: _Check) -> bool:
        """Import one file; is all of it in the bars?"""
        if not check.rows:
            return True
        if self.is_ticks:
            done = [self._put(check.path, venue) for venue in check.venues()]
            return all(done)
        rows = self.rows(check.path)
        dry_run, replace = DRY_RUN[0] in self.switches, REPLACE[0] in self.switches
        return asyncio.run(
            import_bars(self.settings, check.path, rows, replace=replace, dry_run=dry_run)
        )

    def _put(self, path: str, venue: str) -> bool:
        """Import the ticks of one venue: each venue has streams of its own."""
        rows = (
            row
            for row in self.rows(path)
            if row.value is None or row.value.symbol.partition(":")[0] == venue
        )
        return asyncio.run(import_ticks(self.settings, path, rows, venue))


def _contradictions(repeats: Repeats) -> int:
    """Tell the rows that have the id of another one and say something else; how many are there?"""
    count = 0
    for place, before in repeats.contradictions():
        count += 1
        if count <= _SHOWN:
            complain(
                f"{place}: there is another time, price or size under the same trade_id in {before}"
            )
    if count > _SHOWN:
        complain(f"{count - _SHOWN} more rows contradict another one")
    if repeats.equal:
        say(f"{repeats.equal} ticks are there more than once, and count once")
    return count


def _venue(text: str) -> str:
    if not text:
        return ""
    try:
        return make_symbol(text, "X").partition(":")[0]
    except SymbolError as exc:
        accepted = "a letter, then letters, digits and _"
        raise UsageError(f"{VENUE}: expected {accepted}, was {text!r}") from exc
