"""`tickgate dev`: every role on this machine, on servers of its own, as one program."""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from core.market.errors import TickgateError
from core.runtime import config
from core.runtime.children import ChildProcess, ChildRefused
from core.runtime.config import Loaded
from core.runtime.listen import available_port
from core.runtime.ports import Service
from core.runtime.scratch import scratch_folder
from core.runtime.supervisor import StopRequest, stop_on_signals, supervise
from core.runtime.witness import Witness
from ingest.spec import FeedSpec
from storage.embedded.servers import EmbeddedServers
from tickgate import rules
from tickgate.arguments import Arguments
from tickgate.banner import banner, gateway_url
from tickgate.disk_plan import share
from tickgate.feeds import feeds_of
from tickgate.itself import command_of
from tickgate.output import NotWritten, complain, say
from tickgate.restarts import backoff, open_book
from tickgate.settings import AGGREGATE, DEV, GATEWAY, INGEST, MIGRATE, PREFIX, SETTINGS, Settings

_POLL_S = 0.05  # how often the gateway is asked whether it is there
_ANSWER_S = 1.0
_MIGRATE_CAP_S = 5.0  # everything waits for the schema
_FOLDER_PREFIX = "tickgate-dev-"
_READY_S = 10.0  # of waiting until the gateway has read what is stored
_INTERRUPTED, _WRONG_SETTINGS = 1, 2  # exit codes


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Run until stopped, or until every feed ended with ``exit_at_end``."""
    specs = feeds_of(loaded, DEV)
    return asyncio.run(_Dev(loaded, specs).run())


class _Dev:
    """One run: the servers around the roles, started and stopped in order."""

    def __init__(self, loaded: Loaded[Settings], specs: Sequence[FeedSpec]) -> None:
        self._settings = _with_port(_within_disk(loaded.values))
        self._specs = specs
        self._data_dir = rules.data_dir(self._settings, os.environ)
        self._servers = EmbeddedServers(
            self._data_dir,
            redis=not self._settings.redis_url,
            postgres=not self._settings.database_url,
            stream_max_bytes=self._settings.stream_max_bytes,
        )

    async def run(self) -> int:
        stop = StopRequest()
        with stop_on_signals(stop):
            say("tickgate is starting …")
            if not await _unless_stopped(stop, self._servers):
                return 0
            try:
                with scratch_folder(_FOLDER_PREFIX) as folder:
                    return await self._run_roles(stop, folder)
            finally:
                await self._servers.stop()

    async def _run_roles(self, stop: StopRequest, folder: Path) -> int:
        book, told = open_book(folder)
        environ = self._environ() | told
        self._servers.witness = book
        drain_s = self._settings.drain_s
        start = _Start(
            self._child(MIGRATE, environ, book, may_end=True, cap_s=_MIGRATE_CAP_S),
            url=gateway_url(self._settings),
            text=banner(self._settings, self._specs, data_dir=self._data_dir),
        )
        ends = self._settings.exit_at_end
        roles = [
            self._child(GATEWAY, environ, book),
            self._child(AGGREGATE, environ, book, may_end=ends),
            self._child(INGEST, environ, book, may_end=ends),
        ]
        services: list[Service] = [_Keeper(self._servers), *roles, start]
        try:
            await supervise(
                *services,
                drain_s=drain_s + 5.0,  # a role's parts have drain_s each, and end by themselves
                until=(AGGREGATE, INGEST) if ends else (),
                stop=stop,
            )
        except ExceptionGroup as failures:
            refused, others = failures.split(ChildRefused)
            if others is not None or refused is None:
                raise
            for failure in refused.exceptions:
                complain(f"tickgate dev: {failure}")
            return _WRONG_SETTINGS
        if not stop.by_signal:
            say("every bar is stored")
            return 0
        say("tickgate has stopped")
        return _INTERRUPTED if ends else 0

    def _child(
        self,
        command: str,
        environ: Mapping[str, str],
        witness: Witness,
        *,
        may_end: bool = False,
        cap_s: float = 0.0,
    ) -> ChildProcess:
        return ChildProcess(
            name=command,
            command=command_of(command),
            environ=environ,
            monotonic_ns=time.monotonic_ns,
            backoff=backoff(self._settings, cap_s=cap_s),
            may_end=may_end,
            witness=witness,
        )

    def _environ(self) -> dict[str, str]:
        """Of every child: ours, and the effective settings as variables."""
        settings = msgspec.structs.replace(
            self._settings,
            redis_url=self._settings.redis_url or self._servers.redis_url,
            database_url=self._settings.database_url or self._servers.database_url,
            feed=tuple(spec.text for spec in self._specs),
            ops_port=0,
        )
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX + "_")}
        return inherited | config.environment(Loaded(settings, {}), SETTINGS)


class _Keeper:
    """The embedded servers as a service: restarted when one dies; drained last."""

    name = "servers"

    def __init__(self, servers: EmbeddedServers) -> None:
        self._servers = servers
        self._drain = asyncio.Event()

    def begin_drain(self) -> None:
        self._drain.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._servers.keep_running(), name="keep servers")
            await self._drain.wait()
            keeping.cancel()


class _Start:
    """What happens once: migrate, wait for the gateway, tell where the page is."""

    name = "start"

    def __init__(self, migration: ChildProcess, *, url: str, text: str) -> None:
        self._migration, self._url, self._text = migration, url, text
        self._drain = asyncio.Event()

    def begin_drain(self) -> None:
        self._drain.set()
        self._migration.begin_drain()

    async def run(self) -> None:
        await self._migration.run()
        await self._answered("livez", patience_s=None)
        await self._answered("readyz", patience_s=_READY_S)  # a server away is no reason to hide
        if not self._drain.is_set():
            with contextlib.suppress(NotWritten):  # the roles run all the same
                say(self._text)
        await self._drain.wait()

    async def _answered(self, path: str, *, patience_s: float | None) -> None:
        """Wait until the gateway says 200 at *path*, the patience is over or a drain begins."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not (self._drain.is_set() or await _answers(self._url, path)):
                    await _rest()


async def _unless_stopped(stop: StopRequest, servers: EmbeddedServers) -> bool:
    """Start *servers*; False when a signal came first, nothing runs then."""
    outcome: list[TickgateError] = []

    async def start() -> None:
        try:
            await servers.start()
        except TickgateError as exc:
            outcome.append(exc)

    async def watch(starting: asyncio.Task[None]) -> None:
        await stop.wait()
        starting.cancel()

    async with asyncio.TaskGroup() as group:
        starting = group.create_task(start(), name="start servers")
        watching = group.create_task(watch(starting), name="watch for a stop")
        starting.add_done_callback(lambda _: watching.cancel())
    if outcome:
        raise outcome[0]
    return not starting.cancelled()


async def _answers(url: str, path: str) -> bool:
    """Does the gateway answer 200 at *path*?"""
    host, _, port = url.removeprefix("http://").strip("/").rpartition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(request.encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False


async def _rest() -> None:
    await asyncio.sleep(_POLL_S)


def _with_port(settings: Settings) -> Settings:
    """*settings* with a port that is free now.

    Raises:
        CannotListen: the port that was asked for is not to be had.
    """
    port = available_port(settings.host, settings.port)
    return msgspec.structs.replace(settings, port=port)


def _within_disk(settings: Settings) -> Settings:
    """*settings* with the bounds that keep the embedded servers within ``disk_max_bytes``."""
    if not settings.disk_max_bytes:
        return settings
    plan = share(settings.disk_max_bytes)
    streams, bars = settings.stream_max_bytes, settings.bars_max_bytes
    ticks = settings.tick_log_max_bytes
    if not settings.redis_url:
        streams = min(streams, plan.stream_max_bytes)
    if not settings.database_url:
        bars = min(bars or plan.bars_max_bytes, plan.bars_max_bytes)
        ticks = min(ticks or plan.tick_log_max_bytes, plan.tick_log_max_bytes)
    return msgspec.structs.replace(
        settings, stream_max_bytes=streams, bars_max_bytes=bars, tick_log_max_bytes=ticks
    )
