"""Roles killed with SIGKILL in the middle of a replay: the bars are those of the trades."""

import contextlib
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from core.market.tick import Tick
from tests.conftest import Eventually
from tests.integration.system.dev import Dev, dev, get
from tests.integration.system.market import assert_bars, make_trades, write_replay
from tests.processes import gone, working_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_ROLES = ("ingest", "aggregate", "gateway")


@pytest.fixture(scope="module")
def trades() -> list[Tick]:
    return make_trades(minutes=240, count=24_000, seed=2)


@pytest.mark.parametrize(
    ("victims", "speed"),
    [(["ingest"], 2_400), (["aggregate"], 2_400), ([*_ROLES, None], 1_200)],
    ids=["ingest", "aggregate", "each_in_turn_and_all_at_once"],
)
async def test_roles_killed_in_the_middle_of_a_replay(
    victims: list[str | None],
    speed: int,
    trades: list[Tick],
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    data_dir = tmp_path / "data"
    feed = f"replay:{write_replay(tmp_path / 'trades.csv', trades)}?speed={speed}"
    async with dev("--feed", feed, data_dir=data_dir) as running:
        address = await running.address()
        for victim in victims:
            await eventually(lambda: is_in_the_middle(address), timeout_s=20)
            names = [victim] if victim else list(_ROLES)
            await kill(names, running, data_dir, eventually)
            await eventually(lambda: answers(address), timeout_s=20)

        await eventually(lambda: assert_bars(address, trades), timeout_s=40)
        assert await running.stop() == 0, running.output()


async def is_in_the_middle(address: str) -> bool:
    """Has the replay begun and not ended?"""
    feeds = (await get(address + "/v1/status"))["feeds"]
    states = [feed["state"] for feed in feeds if feed["ticks"] > 100]
    assert "ended" not in states
    return "live" in states


async def answers(address: str) -> bool:
    """Is the gateway there?"""
    with contextlib.suppress(aiohttp.ClientConnectionError):
        return bool((await get(address + "/livez"))["alive"])
    return False


async def kill(names: list[str], running: Dev, data_dir: Path, eventually: Eventually) -> None:
    """Kill these roles at once and wait until `dev` has started them again."""
    before = roles_of(data_dir)
    for name in names:
        os.kill(before[name], signal.SIGKILL)
    for name in names:
        await eventually(lambda name=name: gone(before[name]))
        await eventually(lambda name=name: name in roles_of(data_dir), timeout_s=20)
        assert any(f"{name} was killed by SIGKILL" in line for line in running.lines)


def roles_of(data_dir: Path) -> dict[str, int]:
    """Pid of each role that runs."""
    pids = {text.split()[-1]: pid for pid, text in working_in(data_dir).items() if text.split()}
    return {name: pids[name] for name in _ROLES if name in pids and not gone(pids[name])}
