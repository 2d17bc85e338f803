"""Bars of a file stored by the aggregators that own their shards, which publish them, too."""

from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from typing import Final

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS
from storage.bars import BarStore
from storage.rebuilds import GivenBars, ImportReport, Refusal
from tickgate.asking import answers
from tickgate.files.columns import rfc3339
from tickgate.files.given_rows import GivenRow
from tickgate.files.source import SourceError
from tickgate.output import complain, say
from tickgate.schema_gate import GatedDatabase
from tickgate.settings import Settings

_PIECE_NS: Final = 6 * 60 * MINUTE_NS  # of a request: taken in within some 20 ms
_MOST_WAITING: Final = 100_000  # rows in memory: with more, pieces get smaller
_SHOWN: Final = 20
_WHY: Final = {
    Refusal.MADE: "there is a bar that was made of ticks, with other values; --replace stores "
    "over it",
    Refusal.OPEN: "its window, or a longer one around it, is still open",
    Refusal.PARTS: "the longer bars around it were made of minutes that are not stored any more",
}

Rows = list[GivenRow[Bar]]


async def import_bars(
    settings: Settings,
    path: str,
    rows: Iterator[GivenRow[Bar]],
    *,
    replace: bool,
    dry_run: bool,
) -> bool:
    """Have *rows* stored; are all of them, or would be, in a dry run?

    Six hours of a symbol and the longer bars around them are stored in one transaction; bars that
    are the same already are left alone, so it may be interrupted and done again.

    Raises:
        SourceError: the file is another than it was.
        NobodyAnswers: no aggregator runs on the database.
        DatabaseUnavailable: it is away, or too slow.
    """
    database = GatedDatabase(settings)
    await database.open()
    try:
        rebuilds = BarStore(database).rebuilds(shards=settings.shards)

        async def ask(piece: Rows) -> int:
            given = GivenBars(tuple(_bars(piece)), replace)
            return await rebuilds.ask_to_take(given, dry_run=dry_run)

        counts: Counter[str] = Counter()
        async with aclosing(answers(rebuilds, _pieces(path, rows), ask)) as heard:
            async for piece, report in heard:
                assert isinstance(report, ImportReport)  # bars were given
                _note(path, piece, report, counts)
    finally:
        await database.close()
    _tell(path, counts, dry_run=dry_run)
    return not counts["refused"]


def _pieces(path: str, rows: Iterator[GivenRow[Bar]]) -> Iterator[Rows]:
    """The rows by symbol and six hours."""
    waiting: dict[Symbol, Rows] = {}
    held = 0
    for row in rows:
        if row.value is None:
            raise SourceError(path, f"changed while it was read: line {row.line}: {row.error}")
        symbol, number = row.value.symbol, row.value.start_ns // _PIECE_NS
        piece = waiting.setdefault(symbol, [])
        if piece and _bars(piece)[0].start_ns // _PIECE_NS != number:
            held -= len(piece)
            yield waiting.pop(symbol)
        waiting.setdefault(symbol, []).append(row)
        held += 1
        if held >= _MOST_WAITING:
            yield from waiting.values()
            waiting, held = {}, 0
    yield from waiting.values()


def _bars(piece: Rows) -> list[Bar]:
    return [row.value for row in piece if row.value is not None]


def _note(path: str, piece: Rows, report: ImportReport, counts: Counter[str]) -> None:
    lines = {row.value.start_ns: row.line for row in piece if row.value is not None}
    symbol = _bars(piece)[0].symbol
    for start_ns, why in report.refused:
        counts["refused"] += 1
        if counts["refused"] <= _SHOWN:
            complain(f"{path}:{lines[start_ns]}: {symbol} {rfc3339(start_ns)}: {_WHY[why]}")
    for name in ("new", "same", "revised"):
        counts[name] += getattr(report, name)


def _tell(path: str, counts: Counter[str], *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    said = [f"{counts['new']} bars {would}new", f"{counts['same']} the same as before"]
    if counts["revised"]:
        said.append(f"{counts['revised']} {would}revised")
    if counts["refused"]:
        said.append(f"{counts['refused']} refused, which are as they were")
    say(f"{path}: {', '.join(said)}")
