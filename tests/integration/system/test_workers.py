"""`tickgate gateway --workers 2` as processes: one port, common limits, common numbers."""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import Eventually
from tests.integration.system.dev import dev, get
from tests.integration.system.roles import Deployment, Role
from tests.processes import gone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]
LISTENS = r"gateway/2: listening on"
KEYS = ("--api-keys", f"KEY:{hashlib.sha256(b's3cret').hexdigest()}")
BEARER = {"Authorization": "Bearer KEY:s3cret"}


@pytest.fixture
def deployment(redis_url: str, embedded_migrated_url: str, namespace: str) -> Deployment:
    return Deployment(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)


@contextlib.asynccontextmanager
async def two_workers(deployment: Deployment, *arguments: str) -> AsyncIterator[Role]:
    """A gateway of two workers, both of which listen."""
    async with deployment.gateway("--workers", "2", *arguments) as gateway:
        await gateway.said(LISTENS)
        yield gateway


def stream_url(gateway: Role) -> str:
    return gateway.url.replace("http", "ws", 1) + "/v1/stream"


async def numbers(gateway: Role, kind: str) -> Numbers:
    """All samples of metrics of *kind*, asked on a connection of its own: of any worker."""
    async with (
        aiohttp.ClientSession(headers=BEARER) as http,
        http.get(gateway.url + "/metrics") as answer,
    ):
        text = await answer.text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == kind
        for sample in family.samples
    }


async def number(gateway: Role, name: str, kind: str = "gauge") -> float:
    return (await numbers(gateway, kind)).get((name, ()), 0.0)


async def workers(gateway: Role) -> dict[int, int]:
    """Clients by process id, as the workers report them."""
    status = await get(gateway.url + "/v1/status")
    assert status["clients"] == sum(role["clients"] for role in status["roles"])
    return {role["pid"]: role["clients"] for role in status["roles"]}


async def never_falling(gateway: Role, stop: asyncio.Event) -> int:
    """Look at the counters until *stop*; those of a process start anew with it."""
    seen: Numbers = {}
    looks = 0
    while not stop.is_set():
        with contextlib.suppress(aiohttp.ClientError):  # of the worker that is killed
            found = await numbers(gateway, "counter") | await numbers(gateway, "histogram")
            fallen = [k for k, value in seen.items() if found.get(k, 0) < value]
            assert [k for k in fallen if not k[0].startswith("process_")] == []
            seen, looks = found, looks + 1
        await asyncio.sleep(0)
    assert seen["gateway_closed_clients_total", (("reason", "client"),)] >= 1
    return looks


async def ended(client: ClientConnection) -> tuple[str, int]:
    """The last message before the close, and the close code."""
    last: Any = ""
    with contextlib.suppress(ConnectionClosed):
        while True:
            last = await asyncio.wait_for(client.recv(), 10)
    close = client.protocol.close_rcvd
    return last, 1006 if close is None else close.code


async def test_workers_share_port_numbers_and_clients_and_a_killed_one_is_replaced(
    deployment: Deployment, eventually: Eventually
) -> None:
    async with (
        two_workers(deployment, "--crash-loop-after", "1") as gateway,
        AsyncExitStack() as stack,
    ):
        clients = []

        async def both_serve() -> dict[int, int]:
            """The kernel spreads connections by chance: open more until both have some."""
            clients.append(await stack.enter_async_context(connect(stream_url(gateway))))
            found = await workers(gateway)
            return found if all(found.values()) and len(found) == 2 else {}

        first, second = await eventually(both_serve, timeout_s=20)
        async with connect(stream_url(gateway)):
            pass  # something to count
        await eventually(
            lambda: _is(number(gateway, "gateway_clients"), len(clients)), timeout_s=20
        )
        folder = Path(_variable(first, "PROMETHEUS_MULTIPROC_DIR"))

        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(never_falling(gateway, stop))
            os.kill(first, signal.SIGKILL)
            restart = await gateway.said(r"(gateway/\d) was killed .* again in (\S+) s")
            back = await gateway.said(r"gateway/\d listens again after (\S+) s")
            left = [client for client in clients if client.state.name == "OPEN"]
            await eventually(
                lambda: _is(number(gateway, "gateway_clients"), len(left)), timeout_s=20
            )
            for _ in range(8):  # come back: wherever the kernel puts them
                again = await stack.enter_async_context(connect(stream_url(gateway)))
                assert "connected" in str(await again.recv())
                left.append(again)
            stop.set()

        loops = (await get(gateway.url + "/readyz"))["crash_loops"]
        restarts = await numbers(gateway, "counter")

        assert [(loop["role"], loop["crashes"]) for loop in loops] == [(restart[1], 1)]
        assert restarts["tickgate_restarts_total", (("role", restart[1]),)] == 1
        assert 0 < len(left) < len(clients) + 8
        assert float(restart[2]) == 0
        assert float(back[1]) < 20  # half a second where nothing else runs
        assert looking.result() > 1
        code = await gateway.stop()
        ends = [await ended(client) for client in left]

    assert code == 0, gateway.output()
    assert [close for _, close in ends] == [1012] * len(left)
    assert all('"shutdown"' in last for last, _ in ends)
    assert gone(second)
    assert os.listdir(folder.parent.parent).count(folder.parent.name) == 0
    assert gateway.output().count("listening on") == 3


async def test_limits_count_over_all_workers(
    deployment: Deployment, eventually: Eventually
) -> None:
    limits = ("--max-connections-per-ip", "6", "--max-connections-per-key", "4")
    async with two_workers(deployment, *KEYS, *limits) as gateway, AsyncExitStack() as stack:

        async def opened(**headers: str) -> tuple[ClientConnection, str]:
            """A new client, with what it hears after `connected`: where none is let in at once."""
            client = await stack.enter_async_context(
                connect(stream_url(gateway), additional_headers=headers)
            )
            assert "connected" in str(await client.recv())
            return client, str(await client.recv()) if headers or full else ""

        full = False  # both workers have some of them, but for one case in eight
        of_the_key = [(await opened(**BEARER))[1] for _ in range(4)]
        fifth, error = await opened(**BEARER)
        assert all("authenticated" in reply for reply in of_the_key)
        assert "connection limit exceeded: 4 per key" in error
        await fifth.wait_closed()

        await eventually(lambda: _is(number(gateway, "gateway_clients"), 4))
        for _ in range(2):
            await opened()
        full = True
        for _ in range(6):
            _, error = await opened()
            assert "connection limit exceeded: 6 per address" in error

        remaining = []
        async with aiohttp.ClientSession(headers=BEARER) as http:
            for _ in range(20):
                headers = {"Connection": "close"}  # each request is a connection of its own
                async with http.get(gateway.url + "/v1/symbols", headers=headers) as answer:
                    remaining.append(int(answer.headers["X-RateLimit-Remaining"]))
        steps = [after - before for before, after in pairwise(remaining)]
        assert steps.count(-1) >= 18  # of 19: a minute may end on the way
        assert await gateway.stop() == 0


async def test_workers_die_with_their_parent_and_the_port_is_free_again(
    deployment: Deployment, eventually: Eventually
) -> None:
    async with two_workers(deployment) as gateway:
        pids = list(await eventually(lambda: _both(gateway)))
        gateway.process.kill()
        await eventually(lambda: all(gone(pid) for pid in pids))
        port = gateway.url.rpartition(":")[2]
        async with deployment.gateway("--port", port) as next_one:
            await next_one.said("listening on")


async def test_dev_runs_the_gateway_with_workers(tmp_path: Path, eventually: Eventually) -> None:
    async with dev("--workers", "2", "--feed", "sim:?rate=0", data_dir=tmp_path) as running:
        address = await running.address()

        async def both() -> list[dict[str, Any]]:
            roles = (await get(address + "/v1/status"))["roles"]
            gateways = [role for role in roles if role["role"] == "gateway"]
            return gateways if len(gateways) == 2 else []

        for role in await eventually(both):
            assert role["ops_url"] == address
        assert await running.stop() == 0


async def test_what_is_wrong_at_the_start_is_said_once(deployment: Deployment) -> None:
    async with deployment.gateway("--workers", "3", "--redis-url", "redis://h/?odd=1") as wrong:
        assert await wrong.exit_code() == 2
    async with two_workers(deployment) as running:
        port = running.url.rpartition(":")[2]
        async with deployment.gateway("--workers", "2", "--port", port) as second:
            assert await second.exit_code() == 1

    assert [line for line in wrong.lines if "there is no option 'odd'" in line] == wrong.lines[:1]
    (line,) = second.lines
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in line


async def _both(gateway: Role) -> dict[int, int]:
    found = await workers(gateway)
    return found if len(found) == 2 else {}


async def _is(value: Any, expected: float) -> bool:
    assert await value == expected
    return True


def _variable(pid: int, name: str) -> str:
    environ = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return next(text.partition("=")[2] for text in environ if text.startswith(name + "="))
