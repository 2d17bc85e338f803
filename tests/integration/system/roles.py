"""The three roles as separate processes, as they run in production."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from tests.conftest import Eventually, find_free_port
from tests.integration.system.dev import get
from tests.integration.system.programs import START_S, Program, running


class Role(Program):
    """One role; ``url`` is where it answers `/livez` and `/readyz`."""

    url = ""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What all roles of one installation have in common."""

    redis_url: str
    database_url: str
    namespace: str

    @contextlib.asynccontextmanager
    async def gateway(self, *arguments: str, **options: Any) -> AsyncIterator[Role]:
        flags = (*self._database(), *arguments)
        async with self._role("gateway", "--port", *flags, **options) as role:
            yield role

    @contextlib.asynccontextmanager
    async def aggregate(self, *arguments: str) -> AsyncIterator[Role]:
        async with self._role("aggregate", "--ops-port", *self._database(), *arguments) as role:
            yield role

    @contextlib.asynccontextmanager
    async def ingest(self, *feeds: str) -> AsyncIterator[Role]:
        flags = [text for feed in feeds for text in ("--feed", feed)]
        async with self._role("ingest", "--ops-port", *flags) as role:
            yield role

    @contextlib.asynccontextmanager
    async def all_roles(self, *feeds: str) -> AsyncIterator[tuple[Role, Role, Role]]:
        """Ingest, aggregator, gateway, each alive; all of them start at once."""
        async with AsyncExitStack() as stack:
            start = stack.enter_async_context
            ingest = await start(self.ingest(*feeds))
            aggregate = await start(self.aggregate())
            gateway = await start(self.gateway())
            for role in (ingest, aggregate, gateway):
                await alive(role)
            yield ingest, aggregate, gateway

    def _database(self) -> tuple[str, ...]:
        return ("--database-url", self.database_url, "--db-acquire-timeout-s", "1")

    @contextlib.asynccontextmanager
    async def _role(
        self, name: str, port_flag: str, *arguments: str, **options: Any
    ) -> AsyncIterator[Role]:
        port = str(find_free_port())
        common = ("--redis-url", self.redis_url, "--namespace", self.namespace, port_flag, port)
        async with running(name, *common, *arguments, program=Role, **options) as role:
            role.url = f"http://127.0.0.1:{port}"
            yield role


async def alive(role: Role) -> None:
    """Wait until *role* answers."""
    async with asyncio.timeout(START_S):
        while True:
            assert role.process.returncode is None, role.output()
            with contextlib.suppress(aiohttp.ClientConnectionError):
                await get(role.url + "/livez")
                return
            await asyncio.sleep(0.02)


async def readyz(role: Role) -> tuple[int, dict[str, Any]]:
    """Status and answer."""
    async with aiohttp.ClientSession() as session, session.get(role.url + "/readyz") as answer:
        return answer.status, orjson.loads(await answer.read())


async def waits_for(role: Role, dependency: str, eventually: Eventually) -> str:
    """Wait until `/readyz` is 503 for *dependency* and says why; returns since when."""

    async def away() -> Any:
        status, answer = await readyz(role)
        state = answer["dependencies"][dependency]
        assert (status, answer["ready"], state["ok"]) == (503, False, False), role.output()
        assert state["reason"] not in ("", "starting")
        return state["since"]

    since: str = await eventually(away, timeout_s=20)
    return since


async def is_ready(role: Role, eventually: Eventually) -> None:
    """Wait until `/readyz` is 200."""

    async def ready() -> bool:
        status, answer = await readyz(role)
        assert (status, answer["ready"]) == (200, True), (answer, role.output())
        return True

    await eventually(ready, timeout_s=20)
