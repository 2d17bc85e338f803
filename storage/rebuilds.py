"""Rebuilds: requests to fold bars again from the tick log, answered by who owns the shard."""

from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from storage.database import Database
from storage.keys import shard_of

_ASK: Final = """
INSERT INTO rebuilds (shard, symbol, start_ns, end_ns, dry_run) VALUES (%s, %s, %s, %s, %s)
RETURNING id
"""
_NEXT: Final = """
SELECT id, shard, symbol, start_ns, end_ns, dry_run FROM rebuilds
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


class RebuildRequest(msgspec.Struct, frozen=True, array_like=True):
    """Rebuild the 1-minute bars of ``[start_ns, end_ns)``, whole minutes, and their parents."""

    number: int
    shard: int
    symbol: Symbol
    start_ns: int
    end_ns: int
    dry_run: bool


class RebuiltBar(msgspec.Struct, frozen=True, array_like=True):
    """A bar that the log tells otherwise than it was; ``before`` None: there was none."""

    timeframe: Timeframe
    start_ns: int
    before: Bar | None
    after: Bar


class RebuildReport(msgspec.Struct, frozen=True, array_like=True):
    """What a rebuild found; counts are of 1-minute bars.

    ``uncovered``: bars of minutes from before the log is complete; ``without_ticks``: bars of which
    the log has no tick; ``open``: windows that are not closed yet. None of these was touched.
    """

    same: int = 0
    uncovered: int = 0
    without_ticks: int = 0
    open: int = 0
    covered_from_ns: int | None = None  # None: nothing is logged for this shard
    changed: tuple[RebuiltBar, ...] = ()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(RebuildReport)


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
        parameters = [shard_of(symbol, self._shards), symbol, start_ns, end_ns, dry_run]
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
        return RebuildRequest(*rows[0]) if rows else None

    async def answer(self, number: int, report: RebuildReport) -> None:
        """Answer a request; one that was withdrawn is not missed.

        Raises:
            DatabaseUnavailable: it is away, or too slow.
        """
        await self._db.fetch("answer a rebuild", _ANSWER, [_ENCODER.encode(report), number])

    async def reports(self, numbers: Sequence[int]) -> dict[int, RebuildReport]:
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
