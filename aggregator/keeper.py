"""ShardKeeper: keeps the leases of this aggregator's shards, and shares shards with the others."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from aggregator.flush import DATABASE_AWAY
from aggregator.sharing import Plan, share
from core.runtime.ports import MonotonicClock
from core.runtime.readiness import Readiness
from storage.rows import LeaseView
from storage.shard_leases import TTL_S

log = logging.getLogger(__name__)

_BEAT_S: Final = 0.6  # so that three renewals may fail
_SOON_S: Final = 0.15  # while shards are on the move
_SETTLE_S: Final = 1.6  # after an outage owners come back within it, and keep their shards


class Leases(Protocol):
    """What the keeper needs of the database; `storage.shard_leases.ShardLeases` is the real one."""

    @property
    def owner(self) -> str: ...
    async def beat(self, held: Mapping[int, int]) -> LeaseView: ...
    async def create(self) -> None: ...
    async def acquire(
        self,
        shards: Collection[int],
        *,
        at_most: int,
        gone: Collection[str],
        above: Mapping[int, int],
    ) -> dict[int, int]: ...
    async def release(self, held: Mapping[int, int]) -> None: ...
    async def leave(self) -> None: ...
    async def close(self) -> None: ...
    async def end_sessions(self, owners: Collection[str]) -> int: ...


@dataclass(kw_only=True)
class ShardKeeper:
    """A task of its own renews the leases, so that neither folding nor a long flush lets them go.

    ``held`` is what the folding task goes by: it loads what is new there, drops what is not there
    any more, and flushes and hands back what is ``surplus``. While the database is away nobody
    can take a shard, and all that is held stays so; the tokens see to it that this is safe.
    """

    name: ClassVar[str] = "shard-keeper"
    leases: Leases
    shards: int
    readiness: Readiness
    monotonic_ns: MonotonicClock
    is_gone: Callable[[str], bool]
    held: dict[int, int] = field(default_factory=dict, init=False)  # tokens by shard
    surplus: frozenset[int] = field(default=frozenset(), init=False)
    elsewhere: frozenset[int] = field(default=frozenset(), init=False)
    news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Set whenever ``held`` or ``surplus`` changed; the folding task clears it."""

    _parting: set[int] = field(default_factory=set, init=False)
    _parted: dict[int, int] = field(default_factory=dict, init=False)
    _above: dict[int, int] = field(default_factory=dict, init=False)  # tokens by shard
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _closing: bool = field(default=False, init=False)
    _is_away: bool = field(default=True, init=False)
    _in_touch_ns: int | None = field(default=None, init=False)  # with the database, since when
    _renewed_ns: int = field(default=-(2**62), init=False)
    _rest_s: float = field(default=_SOON_S, init=False)
    _refused: frozenset[int] = field(default=frozenset(), init=False)

    # -- for the folding task and the flush writer

    def is_sure(self) -> bool:
        """Are the leases good for certain? While they are not, only what is fenced may go out."""
        return self.monotonic_ns() - self._renewed_ns < TTL_S * 1e9

    def is_parting(self, shard: int) -> bool:
        """Is *shard* being given up? It is still held, but not to be loaded."""
        return shard in self._parting

    def begin_parting(self, shard: int) -> None:
        """The last flush of *shard* is on its way."""
        self._parting.add(shard)
        self.surplus -= {shard}

    def part(self, shard: int, token: int) -> None:
        """The last flush of *shard* is stored and published: another may have it."""
        if self.held.get(shard) == token:
            self._parted[shard] = token
            self._wake.set()

    def disown(self, stale: Mapping[int, int]) -> None:
        """The tokens *stale* (by shard) were refused."""
        for shard, token in stale.items():
            if self.held.get(shard) == token:
                self._forget(shard)
        self._wake.set()

    def outbid(self, shard: int, *, above: int) -> None:
        """The shard's token is not larger than one that was used before: *above*; get a better."""
        self._above[shard] = above
        self._forget(shard)
        self._wake.set()

    def close(self) -> None:
        """Give everything up; :meth:`run` then returns."""
        self._closing = True
        self._wake.set()

    # -- the task

    async def run(self) -> None:
        """Keep the leases until closed."""
        try:
            while not self._closing:
                self._wake.clear()
                await self._try_turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rest_s):
                        await self._wake.wait()
            with suppress(*DATABASE_AWAY):
                await self.leases.release(self.held)
                await self.leases.leave()
        finally:
            await self.leases.close()

    async def _try_turn(self) -> None:
        try:
            await self._turn()
        except DATABASE_AWAY as exc:
            self._in_touch_ns, self._rest_s, self._is_away = None, _SOON_S, True
            if self.readiness.down("database", str(exc)):
                log.warning("waiting for the database: %s", exc)

    async def _turn(self) -> None:
        if self._parted:
            await self._release()
        started_ns = self.monotonic_ns()
        view = await self.leases.beat(self.held)
        if len(view.leases) < self.shards:
            await self.leases.create()
            view = await self.leases.beat(self.held)
        self._note_there(started_ns)
        for shard in self.held.keys() - view.renewed:
            log.warning("shard %d: another aggregator owns it now", shard)
            self._forget(shard)
        gone = {owner for owner in view.members | _owners(view) if self._is_gone(owner)}
        plan = share(
            view,
            self.leases.owner,
            held=self.held,
            parting=self._parting,
            gone=gone,
            may_take_expired=self._may_take_expired(),
        )
        self.elsewhere = plan.elsewhere
        if plan.surplus != self.surplus:
            self.surplus = plan.surplus
            self.news.set()
        await self._acquire(plan, gone)
        self._rest_s = _BEAT_S if plan.is_settled else _SOON_S

    async def _release(self) -> None:
        parted, self._parted = self._parted, {}
        try:
            await self.leases.release(parted)
        except DATABASE_AWAY:
            self._parted = parted
            raise
        for shard in parted:
            self._forget(shard)
        self._tell()

    async def _acquire(self, plan: Plan, gone: Collection[str]) -> None:
        """Take what is free, up to the share; free what a stuck flush keeps locked, for later."""
        if not (plan.wanted and plan.room):
            self._refused = frozenset()
            return
        granted = await self.leases.acquire(
            plan.wanted, at_most=plan.room, gone=gone, above=self._above
        )
        if granted:
            self.held |= granted
            self.news.set()
            self._tell()
        refused = plan.wanted - granted.keys() if len(granted) < plan.room else frozenset()
        if refused & self._refused and plan.overdue:
            ended = await self.leases.end_sessions(plan.overdue)
            log.warning("%d flushes of %s ended", ended, ", ".join(sorted(plan.overdue)))
        self._refused = refused

    def _tell(self) -> None:
        log.info("owner of %d shards of %d", len(self.held), self.shards)

    def _may_take_expired(self) -> bool:
        since_ns = self._in_touch_ns
        return since_ns is not None and self.monotonic_ns() - since_ns >= _SETTLE_S * 1e9

    def _is_gone(self, owner: str) -> bool:
        return owner not in ("", self.leases.owner) and self.is_gone(owner)

    def _forget(self, shard: int) -> None:
        """The shard is held no more."""
        self.held.pop(shard, None)
        self._parting.discard(shard)
        self._parted.pop(shard, None)
        self.news.set()

    def _note_there(self, started_ns: int) -> None:
        self._renewed_ns = started_ns
        if self._in_touch_ns is None:
            self._in_touch_ns = started_ns
        if self._is_away:
            self._is_away = False
            if self.readiness.up("database"):
                log.info("the database is there")


def _owners(view: LeaseView) -> frozenset[str]:
    return frozenset(lease.owner for lease in view.leases)
