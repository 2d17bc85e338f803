"""Rebuilder: serves requests to change stored bars, between two blocks of the folding task."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple, Protocol

from aggregator.flush import DATABASE_AWAY, Store
from aggregator.imports import take_in
from aggregator.rebuild import CoveredLog, Rebuilt, rebuild
from aggregator.shards import ShardState
from storage.rebuilds import RebuildRequest, Report

_LOG = logging.getLogger(__name__)

_BUSY_LOOK_S: Final = 0.02  # while there are some


class Requests(Protocol):
    """Where requests come from; `storage.rebuilds.Rebuilds` is the real one."""

    async def next(
        self, shards: Sequence[int], *, without: Sequence[int] = ()
    ) -> RebuildRequest | None:
        """The oldest request for one of *shards* that has no answer, some left out."""
        ...

    async def answer(self, number: int, report: Report) -> None:
        """Answer a request."""
        ...


class _Unanswered(NamedTuple):
    state: ShardState
    flush: int  # that stores what was found
    number: int
    report: Report


@dataclass(kw_only=True)
class Rebuilder:
    """Serves requests for rebuilds, one at a time.

    A task of its own asks for them and answers, so that folding does not wait for a database that
    is away; the folding task calls :meth:`serve` between blocks.
    """

    name: ClassVar[str] = "aggregator-rebuilds"
    requests: Requests
    log: CoveredLog
    store: Store
    look_s: float = 1.0  # between looks for requests
    _request: RebuildRequest | None = field(default=None, init=False)
    _unanswered: list[_Unanswered] = field(default_factory=list, init=False)

    async def run(self, states: Mapping[int, ShardState], committed: Mapping[int, int]) -> None:
        """Look for requests and answer those that are served, until cancelled.

        Args:
            states: the shards that are owned now.
            committed: by shard, number of the newest flush that is stored and published.
        """
        while True:
            try:
                await self.look(states, committed)
            except DATABASE_AWAY as exc:
                _LOG.debug("no rebuilds now: %s", exc)
            is_idle = self._request is None and not self._unanswered
            await asyncio.sleep(self.look_s if is_idle else _BUSY_LOOK_S)

    async def look(self, states: Mapping[int, ShardState], committed: Mapping[int, int]) -> None:
        """Answer what is served and stored, then fetch the next request; see :meth:`run`.

        Raises:
            DatabaseUnavailable: it is away, or too slow; to be called again.
        """
        await self._answer(states, committed)
        if self._request is None and states:
            waiting = [each.number for each in self._unanswered]
            self._request = await self.requests.next(sorted(states), without=waiting)

    async def serve(self, states: Mapping[int, ShardState]) -> None:
        """Serve the request that waits, if there is one, for one of *states*.

        It is answered once the flush that stores what was found is committed. A shard that is
        lost until then leaves the request to its new owner.

        Raises:
            DatabaseUnavailable: it is away, or too slow; to be called again.
        """
        request = self._request
        if request is None:
            return
        state = states.get(request.shard)
        if state is not None:
            found = await self._find(state, request)
            flush = 0
            if not request.dry_run and found.changed:
                found.take_effect(state)
                flush = state.flush + 1
            self._unanswered.append(_Unanswered(state, flush, request.number, found.report))
        self._request = None

    async def _find(self, state: ShardState, request: RebuildRequest) -> Rebuilt:
        if request.given is not None:
            return await take_in(state, request.symbol, request.given, store=self.store)
        return await rebuild(state, request, log=self.log, store=self.store)

    async def _answer(self, states: Mapping[int, ShardState], committed: Mapping[int, int]) -> None:
        for each in list(self._unanswered):
            shard = each.state.shard
            if states.get(shard) is each.state:
                if committed.get(shard, 0) < each.flush:
                    continue
                await self.requests.answer(each.number, each.report)
            self._unanswered.remove(each)
