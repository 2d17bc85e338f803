"""Commands beside a `tickgate dev` that runs: they find its servers by its data directory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from tests.conftest import Eventually
from tests.integration.system.dev import Dev, dev
from tickgate import cli

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

FEED = "sim:?symbols=2&rate=10"
TICK = "symbol,trade_id,event_ns,side,price,size\nA,1,1700000000000000000,,1.5,2\n"
SPAN = ("--start", "2023-11-14", "--end", "2023-11-15")

Tickgate = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So long a path that the servers' sockets are in another folder."""
    return tmp_path_factory.mktemp("dev") / "a long way down" / ("d" * 100)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def start(data_dir: Path) -> AsyncIterator[Callable[[], Awaitable[Dev]]]:
    """Gives the one that runs: another where a test has ended it."""
    runs: list[Dev] = []

    async def one_that_runs() -> Dev:
        if not runs or runs[-1].process.returncode is not None:
            runs.append(await stack.enter_async_context(dev("--feed", FEED, data_dir=data_dir)))
            await runs[-1].address()
        return runs[-1]

    async with AsyncExitStack() as stack:
        yield one_that_runs


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def running(start: Callable[[], Awaitable[Dev]]) -> Dev:
    return await start()


@pytest.fixture
def tickgate(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Tickgate:
    """``await tickgate("keys", "list")``: how it ended, and what it said."""

    async def run(*words: str, data_dir: Path = data_dir) -> tuple[int, str]:
        code = await asyncio.to_thread(cli.main, [*words, "--data-dir", str(data_dir)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


async def test_check_finds_all_well(running: Dev, tickgate: Tickgate, tmp_path: Path) -> None:
    port = (await running.address()).rpartition(":")[2]

    beside, well = await tickgate("check", "--port", port)
    elsewhere, taken = await tickgate("check", "--port", port, data_dir=tmp_path)

    assert (beside, elsewhere) == (0, 1)
    assert f"port {port} is in use; `tickgate dev` runs (process " in well
    assert f"cannot listen on 127.0.0.1 port {port}" in taken


async def test_what_is_imported_can_be_exported_and_rebuilt(
    tickgate: Tickgate, tmp_path: Path, eventually: Eventually
) -> None:
    ticks, bars = tmp_path / "ticks.csv", tmp_path / "bars.csv"
    ticks.write_text(TICK)

    async def stored() -> bool:
        said = await tickgate("export", "bars", "V:A", *SPAN, "--output", str(bars), "--force")
        # The log may know the symbol before its bar is stored.
        return said[0] == 0 and len(bars.read_text().splitlines()) == 2

    taken = await tickgate("import", "ticks", str(ticks), "--venue", "V")
    await eventually(stored, timeout_s=30)
    again = await tickgate("import", "bars", str(bars))
    rebuilt = await tickgate("rebuild", "V:A", *SPAN)

    for code, said in (taken, again, rebuilt):
        assert code == 0, said
    assert "1 ticks of V from 2023-11-14T22:13:20Z" in taken[1]
    assert "0 bars new, 1 the same as before" in again[1]
    assert "V:A: 1 1-minute bars are as the log says" in rebuilt[1]


async def test_keys_are_made_and_revoked_while_it_runs_and_not_without_it(
    running: Dev, tickgate: Tickgate, data_dir: Path, tmp_path: Path, eventually: Eventually
) -> None:
    url = await running.address() + "/v1/symbols"
    async with aiohttp.ClientSession() as session:

        async def answers(status: int, **headers: str) -> bool:
            async with session.get(url, headers=headers) as answer:
                return answer.status == status

        code, said = await tickgate("keys", "add", "--json")
        assert code == 0, said
        added = msgspec.json.decode(said)
        bearer = f"Bearer {added['key_id']}:{added['secret']}"
        await eventually(lambda: answers(401))
        await eventually(lambda: answers(200, Authorization=bearer))
        revoked = await tickgate("keys", "revoke", added["key_id"])
        await eventually(lambda: answers(401, Authorization=bearer))
    assert await running.stop() == 0
    after = await tickgate("keys", "list")
    never = await tickgate("keys", "list", data_dir=tmp_path)

    assert revoked[0] == 0, revoked[1]
    for (code, said), folder in ((after, data_dir), (never, tmp_path)):
        assert code == 1
        assert f"runs on data directory {folder}; start it, name" in said
