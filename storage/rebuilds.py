"""Rebuilds: requests to change stored bars, answered by who owns the shard.

Bars are folded again from the tick log, or are given: bought from a vendor, say.
"""

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import MINUTE_NS, Timeframe
from storage.database import Database
from storage.keys import shard_of

_ASK: Final = """
INSERT INTO rebuilds (shard, symbol, start_ns, end_ns, dry_run, given)
VALUES (%s, %s, %s, %s, %s, %s)
RETURNING id
"""
_NEXT: Final = """
SELECT id, shard, symbol, start_ns, end_ns, dry_run, given FROM rebuilds
WHERE report IS NULL AND shard = ANY (%s::int[]) AND id <> ALL (%s::bigint[])
    AND asked_at > now() - make_interval(mins => 10)
ORDER BY id LIMIT 1
"""
_ANSWER: Final = "UPDATE rebuilds SET report = %s WHERE id = %s"
_REPORTS: Final = """
SELECT id, report FROM rebuilds WHERE id = ANY (%s::bigint[]) AND report IS NOT NULL
"""
_WITHDRAW: Final = """
DELETE FROM rebuilds WHERE id = ANY (%s::bigint[]) OR asked_at < now() - make_interval(days => 1)
"""


class GivenBars(msgspec.Struct, frozen=True, array_like=True):
    """1-minute bars of one symbol to store as they are; ``replace``: over those of ticks, too."""

    bars: tuple[Bar, ...]
    replace: bool = False


class RebuildRequest(msgspec.Struct, frozen=True, array_like=True):
    """Rebuild the 1-minute bars of ``[start_ns, end_ns)``, whole minutes, and their parents.

    From the tick log, or where bars are ``given``, from these.
    """

    number: int
    shard: int
    symbol: Symbol
    start_ns: int
    end_ns: int
    dry_run: bool
    given: GivenBars | None = None


class RebuiltBar(msgspec.Struct, frozen=True, array_like=True):
    """A bar that the log tells otherwise than it was; ``before`` None: there was none."""

    timeframe: Timeframe
    start_ns: int
    before: Bar | None
    after: Bar


class RebuildReport(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a rebuild found; counts are of 1-minute bars, save for ``without_minutes``.

    ``uncovered``: bars from before the log is complete; ``without_ticks``: bars of which the log
    has no tick; ``open``: windows that are not closed yet; ``without_minutes``: longer bars with
    minutes that are neither stored nor logged. None of these was touched, nor anything where a row
    of the log is ``unreadable``.
    """

    same: int = 0
    uncovered: int = 0
    without_ticks: int = 0
    open: int = 0
    covered_from_ns: int | None = None  # None: nothing is logged for this shard
    changed: tuple[RebuiltBar, ...] = ()
    unreadable: bool = False
    without_minutes: int = 0


class Refusal(enum.StrEnum):
    """Why a given bar was not stored."""

    MADE = "made"  # there is one that was made of ticks
    OPEN = "open"  # its window, or a longer one around it, is not closed yet
    PARTS = "parts"  # a longer bar around it has minutes that are not stored any more


class ImportReport(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What became of given bars; those that were ``refused`` are named by their starts."""

    new: int = 0
    same: int = 0
    revised: int = 0
    refused: tuple[tuple[int, Refusal], ...] = ()


Report = RebuildReport | ImportReport

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Report)
_GIVEN = msgspec.msgpack.Decoder(GivenBars)


class Rebuilds:
    """The requests of a database. Any number of tasks may share one."""

    def __init__(self, db: Database, *, shards: int) -> None:
        """*db* stays the caller's; *shards* as everywhere in the deployment."""
        self._db, self._shards = db, shards

    async def ask(self, symbol: Symbol, start_ns: int, end_ns: int, *, dry_run: bool) -> int:
        """Ask for a rebuild; returns the number of the request, for :meth:`reports`.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        return await self._ask(symbol, start_ns, end_ns, dry_run=dry_run, given=None)

    async def ask_to_take(self, given: GivenBars, *, dry_run: bool) -> int:
        """Ask to store *given*, at least one bar, of one symbol; else as :meth:`ask`.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        starts = [bar.start_ns for bar in given.bars]
        span = min(starts), max(starts) + MINUTE_NS
        packed = _ENCODER.encode(given)
        return await self._ask(given.bars[0].symbol, *span, dry_run=dry_run, given=packed)

    async def _ask(
        self, symbol: Symbol, start_ns: int, end_ns: int, *, dry_run: bool, given: bytes | None
    ) -> int:
        parameters = [shard_of(symbol, self._shards), symbol, start_ns, end_ns, dry_run, given]
        ((number,),) = await self._db.fetch("ask for a rebuild", _ASK, parameters)
        return int(number)

    async def next(
        self, shards: Sequence[int], *, without: Sequence[int] = ()
    ) -> RebuildRequest | None:
        """The oldest request for one of *shards* that has no answer, some left out.

        One of ten minutes ago is nobody's any more.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        parameters = [list(shards), list(without)]
        rows = await self._db.fetch("next rebuild", _NEXT, parameters)
        if not rows:
            return None
        request, given = RebuildRequest(*rows[0][:-1]), rows[0][-1]
        if given is None:
            return request
        return msgspec.structs.replace(request, given=_GIVEN.decode(given))

    async def answer(self, number: int, report: Report) -> None:
        """Answer a request; one that was withdrawn is not missed.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        await self._db.fetch("answer a rebuild", _ANSWER, [_ENCODER.encode(report), number])

    async def reports(self, numbers: Sequence[int]) -> dict[int, Report]:
        """The answers to those of the requests that have one.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        rows = await self._db.fetch("reports of rebuilds", _REPORTS, [list(numbers)])
        return {number: _DECODER.decode(report) for number, report in rows}

    async def withdraw(self, numbers: Sequence[int]) -> None:
        """Forget requests and their answers, and all of the day before.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        await self._db.fetch("withdraw rebuilds", _WITHDRAW, [list(numbers)])
