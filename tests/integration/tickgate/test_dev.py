"""`tickgate dev` as a user runs it: starts, stops, failures; and that it leaves nothing behind."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import Eventually
from tests.integration.system import dev as system
from tests.integration.system.dev import Dev, all_bars, get
from tests.processes import gone, working_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

HEADER = "symbol,trade_id,event_ns,side,price,size\n"
URL = re.compile(r"https?://\S+")
START_NS = 1_700_000_040 * 10**9  # a minute's start


@contextlib.asynccontextmanager
async def dev(*arguments: str, data_dir: Path) -> AsyncIterator[Dev]:
    """As in the system tests; a test that fails shows what the program said."""
    async with system.dev(*arguments, data_dir=data_dir) as running:
        try:
            yield running
        except BaseException:
            print(running.output())
            raise


async def finished(*arguments: str, data_dir: Path) -> tuple[int, str]:
    """Exit code and output of a `dev` that ends by itself."""
    async with dev(*arguments, data_dir=data_dir) as running:
        code = await running.exit_code()
    return code, running.output()


def replay_file(folder: Path, minutes: int) -> Path:
    path = folder / "trades.csv"
    rows = [
        f"XRP-ETH,{minute * 3 + n},{START_NS + (minute * 60 + n) * 10**9},buy,{1 + n / 8},2\n"
        for minute in range(minutes)
        for n in range(3)
    ]
    path.write_text(HEADER + "".join(rows))
    return path


def a_role(data_dir: Path, name: str) -> int | None:
    """Pid of the running role *name*."""
    commands = working_in(data_dir).items()
    return next((pid for pid, text in commands if text.endswith(f"-m tickgate {name} ")), None)


async def metrics(address: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(address + "/metrics") as answer:
        return await answer.text()


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_serves_the_page_and_stops_without_a_trace(tmp_path: Path, signum: int) -> None:
    data_dir = tmp_path / "data"

    async with dev(data_dir=data_dir) as running:
        address = await running.address()
        live = await get(address + "/livez")
        parts = len(working_in(data_dir))
        code = await running.stop(number=signum)

    assert live["alive"] is True
    assert URL.findall(running.output())[:1] == [address + "/"]  # nothing before the page's
    assert parts >= 6  # the parent, three roles, two servers
    assert code == 0, running.output()
    assert working_in(data_dir) == {}
    assert "CRITICAL" not in running.output()


async def test_bars_of_the_default_feed_arrive(tmp_path: Path, eventually: Eventually) -> None:
    async with dev(data_dir=tmp_path) as running:
        address = await running.address()

        async def bar() -> bool:
            found = await get(address + "/v1/bars/latest", symbols="SIM:S001")
            return "SIM:S001" in found.get("bars", {})

        assert await eventually(bar, timeout_s=20)
        assert await running.stop() == 0


async def test_a_stop_during_the_start_leaves_nothing(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with dev(data_dir=tmp_path) as running:
        await eventually(lambda: any("starting" in line for line in running.lines))
        code = await running.stop()

    assert code == 0, running.output()
    assert working_in(tmp_path) == {}


async def test_the_second_signal_ends_at_once_and_leaves_nothing(
    tmp_path: Path, eventually: Eventually
) -> None:
    async with dev(data_dir=tmp_path) as running:
        await running.address()
        gateway = a_role(tmp_path, "gateway")
        assert gateway is not None
        os.kill(gateway, signal.SIGSTOP)  # will not drain
        while running.process.returncode is None:
            running.process.send_signal(signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.process.wait(), 0.1)

        assert running.process.returncode == -signal.SIGINT
        await eventually(lambda: working_in(tmp_path) == {}, timeout_s=20)


async def test_kill_9_leaves_nothing_and_the_next_start_has_the_data(
    tmp_path: Path, eventually: Eventually
) -> None:
    data_dir, path = tmp_path / "data", replay_file(tmp_path, 10)
    feed = ("--feed", f"replay:{path}?speed=max")

    async with dev(*feed, data_dir=data_dir) as running:
        address = await running.address()

        async def stored() -> bool:
            return len(await all_bars(address, ["REPLAY:XRP-ETH"], "1Min", 100)) == 10

        await eventually(stored, timeout_s=20)
        running.process.kill()
        await running.process.wait()
        await eventually(lambda: working_in(data_dir) == {}, timeout_s=20)

    async with dev("--feed", "sim:?rate=0", data_dir=data_dir) as again:
        address = await again.address()
        assert await eventually(stored, timeout_s=20)
        assert await again.stop() == 0


async def test_exit_at_end_returns_0_once_every_bar_is_stored(tmp_path: Path) -> None:
    data_dir, path = tmp_path / "data", replay_file(tmp_path, 7)
    feed = f"replay:{path}?speed=max"

    code, output = await finished("--feed", feed, "--exit-at-end", data_dir=data_dir)
    repeated, _ = await finished("--feed", feed, "--exit-at-end", data_dir=data_dir)
    async with dev("--feed", "sim:?rate=0", data_dir=data_dir) as running:
        bars = await all_bars(await running.address(), ["REPLAY:XRP-ETH"], "1Min", 3)

    assert (code, repeated) == (0, 0), output
    assert working_in(data_dir) == {}
    assert [(bar["n"], bar["v"], bar["c"]) for _, bar in bars] == [(3, 6, 1.25)] * 7


async def test_an_interrupted_exit_at_end_is_no_success(tmp_path: Path) -> None:
    path = replay_file(tmp_path, 7)
    feed = f"replay:{path}?speed=1"

    async with dev("--feed", feed, "--exit-at-end", data_dir=tmp_path / "data") as running:
        await running.address()
        code = await running.stop()

    assert code == 1, running.output()


@pytest.mark.parametrize("role", ["ingest", "aggregate", "gateway"])
async def test_a_role_that_is_killed_comes_back_and_the_gateway_tells_of_a_crash_loop(
    tmp_path: Path, eventually: Eventually, role: str
) -> None:
    async with dev("--crash-loop-after", "1", data_dir=tmp_path) as running:
        address = await running.address()
        first = await eventually(lambda: a_role(tmp_path, role))
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: gone(first) and a_role(tmp_path, role), timeout_s=20)

        async def live() -> bool:
            with contextlib.suppress(OSError):
                return bool((await get(address + "/livez"))["alive"])
            return False

        await eventually(live, timeout_s=20)
        (loop,) = (await get(address + "/readyz"))["crash_loops"]
        numbers = await metrics(address)
        assert await running.stop() == 0
    assert any(f"{role} was killed by SIGKILL" in line for line in running.lines)
    assert any(f"ERROR   dev: CRASH LOOP: {role} ended 1 times" in line for line in running.lines)
    assert (loop["role"], loop["crashes"]) == (role, 1)
    assert loop["reason"] == "was killed by SIGKILL, perhaps because memory ran out"
    assert f'tickgate_restarts_total{{role="{role}"}} 1.0' in numbers
    assert f'tickgate_crash_loop{{role="{role}"}} 1.0' in numbers


async def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = await finished("--port", str(port), data_dir=data_dir)

    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in output
    assert not data_dir.exists()


async def test_an_unusable_data_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    code, output = await finished(data_dir=tmp_path / "file" / "data")

    assert code == 1
    assert "choose a directory that this user may write with --data-dir" in output


async def test_a_data_directory_serves_one_program_at_a_time(tmp_path: Path) -> None:
    async with dev(data_dir=tmp_path) as running:
        await running.address()
        code, output = await finished(data_dir=tmp_path)
        assert await running.stop() == 0

    assert code == 1
    assert f"is in use by process {running.process.pid}" in output


async def test_an_unreadable_replay_ends_the_program_with_2(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("not,the,header\n1,2,3\n")

    code, output = await finished("--feed", f"replay:{path}", data_dir=tmp_path / "data")

    assert code == 2, output
    assert working_in(tmp_path / "data") == {}


async def test_watch_prints_trades_into_a_pipe_and_ends_with_its_reader(tmp_path: Path) -> None:
    async with dev(data_dir=tmp_path) as running:
        address = await running.address()
        watch = await _tickgate("watch", "sim:s001", "--url", address)
        assert watch.stdout is not None
        lines = [await asyncio.wait_for(watch.stdout.readline(), 20) for _ in range(3)]
        watch.terminate()
        code = await watch.wait()
        refused = await _tickgate("watch", "no such", "--url", address)
        _, complaint = await refused.communicate()

    assert all(line.startswith(b"SIM:S001 ") for line in lines)
    assert code == 0
    assert refused.returncode == 1
    assert b"the gateway refused" in complaint


async def _tickgate(*arguments: str) -> asyncio.subprocess.Process:
    command: Sequence[str] = (sys.executable, "-m", "tickgate", *arguments)
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
