"""`tickgate gateway --workers N`: processes that share one port, and the small parent over them.

The parent holds the port, the workers' common memory and the folder with their metrics; it takes
no connections and imports nothing that serves them.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from core.runtime import config
from core.runtime.children import Backoff, ChildProcess, ChildRefused
from core.runtime.config import Loaded
from core.runtime.hangup import Hangup
from core.runtime.listen import reserve
from core.runtime.scratch import scratch_folder
from core.runtime.supervisor import supervise
from core.runtime.witness import Witness
from gateway import tally, tally_memory
from gateway.tally import Layout
from tickgate.arguments import Arguments
from tickgate.itself import command_of
from tickgate.output import complain
from tickgate.restarts import backoff, open_book
from tickgate.settings import GATEWAY, PREFIX, SETTINGS, Settings

log = logging.getLogger(__name__)

# Tells a process which worker it is, and the folder of all. No setting: users never give it.
_WORKER: Final = "_TICKGATE_WORKER"
_METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
_FOLDER_PREFIX: Final = "tickgate-gateway-"
_FIRST_S: Final = 3.0  # at most so long the others wait until the first has read its settings
_LOOK_S: Final = 0.02  # how often a worker that starts is looked at
_DRAIN_MORE_S: Final = 3.0  # beyond drain_s, which each part of a worker has; `dev` gives 5.0
_WRONG_SETTINGS: Final = 2  # exit code


@dataclass(frozen=True, slots=True)
class Place:
    """Which of the workers a process is, and where they meet."""

    index: int
    folder: Path

    @property
    def name(self) -> str:
        """For people, who count from 1."""
        return f"gateway/{self.index + 1}"

    @property
    def tally_path(self) -> Path:
        """The file with the counts of all."""
        return self.folder / "tally"

    @property
    def metrics_path(self) -> Path:
        """The folder with the metrics of all."""
        return self.folder / "metrics"


def place_of(environ: Mapping[str, str]) -> Place | None:
    """The place of this process; None for one that is no worker."""
    index, _, folder = environ.get(_WORKER, "").partition(" ")
    return Place(int(index), Path(folder)) if index else None


def is_parent(settings: Settings, command: str, environ: Mapping[str, str]) -> bool:
    """Does *command* start workers, which then look at the settings themselves?"""
    return command == GATEWAY and settings.workers > 1 and place_of(environ) is None


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Serve until stopped, in this process or in several."""
    if is_parent(loaded.values, GATEWAY, os.environ):
        return _run_workers(loaded.values)
    from tickgate import gateway_role  # the parent stays lean

    return gateway_role.run(loaded, place_of(os.environ))


def _run_workers(settings: Settings) -> int:
    with reserve(settings.host, settings.port) as holder, scratch_folder(_FOLDER_PREFIX) as folder:
        port = holder.getsockname()[1]
        workers = _Workers(msgspec.structs.replace(settings, port=port), folder)
        try:
            asyncio.run(workers.supervised(settings.drain_s + _DRAIN_MORE_S))
        except ExceptionGroup as failures:
            refused, others = failures.split(ChildRefused)
            if others is not None or refused is None:
                raise
            complain(f"tickgate gateway: {_first(refused)}")
            return _WRONG_SETTINGS
    return 0


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


class _Workers:
    """All workers as one service: started, replaced when they die, drained together."""

    name = "workers"

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._layout = Layout(settings.workers)
        first = Place(0, folder)
        first.metrics_path.mkdir()
        self._words = tally_memory.create(first.tally_path, self._layout)
        book, told = open_book(folder)
        environ = _environ(settings) | told
        self._workers = [
            _Worker(
                Place(index, folder),
                environ,
                _Counts(self._words, self._layout),
                backoff=backoff(settings, at_once=True),
                witness=book,
            )
            for index in range(settings.workers)
        ]

    async def supervised(self, drain_s: float) -> None:
        """Run until a signal ends it; SIGHUP has the workers read their files anew."""
        await supervise(self, drain_s=drain_s, on_hangup=Hangup(self._hang_up).on_signal)

    def begin_drain(self) -> None:
        for worker in self._workers:
            worker.begin_drain()

    def _hang_up(self) -> None:
        for worker in self._workers:
            worker.hang_up()

    async def run(self) -> None:
        """Run until drained.

        Raises:
            ExceptionGroup: a worker's settings are wrong.
        """
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(worker.run(), name=worker.name)
                if worker is self._workers[0]:
                    await self._settings_read()  # what is wrong with them is said once

    async def _settings_read(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_S):
                while not tally.runs(self._words, self._layout, 0):
                    await _rest()


class _Counts(NamedTuple):
    """The memory in which all workers count."""

    words: memoryview
    layout: Layout


class _Worker:
    """One worker: kept alive, what it leaves behind cleared away, its return told."""

    def __init__(
        self,
        place: Place,
        environ: Mapping[str, str],
        counts: _Counts,
        *,
        backoff: Backoff,
        witness: Witness,
    ) -> None:
        self.name = place.name
        self._place, (self._words, self._layout) = place, counts
        self._ended = asyncio.Event()
        self._ended_ns = 0
        self._child = ChildProcess(
            name=self.name,
            command=command_of(GATEWAY),
            environ={
                **environ,
                _WORKER: f"{place.index} {place.folder}",
                _METRICS: str(place.metrics_path),
            },
            monotonic_ns=time.monotonic_ns,
            backoff=backoff,
            on_end=self._on_end,
            witness=witness,
        )

    def begin_drain(self) -> None:
        self._child.begin_drain()

    def hang_up(self) -> None:
        """SIGHUP, unless it is still starting: that would end it, and it reads all anyway."""
        if tally.listens(self._words, self._layout, self._place.index):
            self._child.hang_up()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell(), name=f"{self.name} return")
            await self._child.run()
            telling.cancel()

    def _on_end(self) -> None:
        """Its connections are gone; what it counted in all stays."""
        tally.clear(self._words, self._layout, self._place.index)
        for path in self._place.metrics_path.glob(f"gauge_live*_{self._place.index}.db"):
            path.unlink()
        self._ended_ns = time.monotonic_ns()
        self._ended.set()

    async def _tell(self) -> None:
        """Say each time how long the worker was away."""
        while True:
            await self._ended.wait()
            self._ended.clear()
            while not tally.listens(self._words, self._layout, self._place.index):
                await _rest()
            away_s = (time.monotonic_ns() - self._ended_ns) / 1e9
            log.warning("%s listens again after %.2f s", self.name, away_s)


async def _rest() -> None:
    await asyncio.sleep(_LOOK_S)


def _environ(settings: Settings) -> dict[str, str]:
    """Of every worker: ours, and the effective settings as variables."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX + "_")}
    return inherited | config.environment(Loaded(settings, {}), SETTINGS)
