import asyncio
import hashlib
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from gateway.access.grant import Caller
from gateway.access.keyring import KeyRecord, Keyring
from gateway.keys import ApiKeys
from gateway.silence import Silence
from tests.access import access_of
from tests.conftest import Eventually
from tests.integration.gateway.rig import gateway
from tests.integration.system.dev import dev
from tickgate.settings import Settings
from tickgate.watch import Refused, Watch


async def tickgate(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickgate", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.slow
async def test_migrate_then_check_finds_all_well(redis_url: str, database_url: str) -> None:
    urls = ("--redis-url", redis_url, "--database-url", database_url)

    before, missing = await tickgate("check", *urls)
    first, applied = await tickgate("migrate", "--database-url", database_url)
    second, nothing = await tickgate("migrate", "--database-url", database_url)
    after, well = await tickgate("check", *urls)

    assert (before, first, second, after) == (1, 0, 0, 0)
    assert "run `tickgate migrate`" in missing
    assert "applied 0001" in applied
    assert "nothing to apply" in nothing
    assert "FAIL" not in well
    assert ("TimescaleDB" in well) == ("hypertable" in applied)
    assert len([line for line in well.splitlines() if "clock" in line]) == 2


@pytest.mark.slow
async def test_migrate_names_a_database_that_is_away() -> None:
    code, said = await tickgate("migrate", "--database-url", "postgresql://127.0.0.1:1/x")

    assert code == 1
    assert said.startswith("tickgate migrate: ")
    assert "127.0.0.1:1/x" in said


@pytest.mark.slow
async def test_watch_draws_a_live_table_and_says_when_the_gateway_is_away(tmp_path: Path) -> None:
    async with dev(data_dir=tmp_path) as running:
        address = await running.address()
        terminal, line = pty.openpty()
        watch = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tickgate", "watch", "SIM:S001", "--url", address),
            stdout=line,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "140"},
        )
        await _shown(terminal, "▲", "SIM:S001", "live from")
        assert await running.stop() == 0
        await _shown(terminal, "trying again")
        watch.terminate()
        code = await asyncio.wait_for(watch.wait(), 10)
        os.close(terminal)
        os.close(line)

    assert code == 0


@pytest.mark.slow
async def test_watch_ends_in_silence_when_nobody_reads_its_pipe_any_more(tmp_path: Path) -> None:
    async with dev(data_dir=tmp_path) as running:
        watch = await asyncio.create_subprocess_shell(
            f"{sys.executable} -m tickgate watch SIM:S001 SIM:S002 --url {await running.address()}"
            " | head -n 3",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(watch.communicate(), 20)
        assert await running.stop() == 0

    assert len(out.splitlines()) == 3
    assert err == b""


async def test_watch_tells_beside_its_pipe_that_a_feed_is_stale_and_that_it_is_back(
    redis_url: str, namespace: str, eventually: Eventually, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def tells(words: str) -> bool:
        out, err = capsys.readouterr()
        said.append(out + err)
        return words in "".join(said)

    silence = Silence(stale_after_s=0.3, heartbeat_s=0.25)
    async with (
        gateway(redis_url, namespace, silence=silence) as rig,
        asyncio.TaskGroup() as group,
    ):
        url = f"http://127.0.0.1:{rig.service.port}"
        watch = Watch(Settings(url=url), ("SIM:S001",))
        watching = group.create_task(watch.run(), name="watch")
        await eventually(lambda: rig.metric("gateway_subscribers") == 1)
        await rig.trade("SIM:S001")
        await eventually(lambda: tells("tickgate watch: sim is stale: no trade since 20"))
        await rig.trade("SIM:S001")
        await eventually(lambda: tells("tickgate watch: sim has trades again"))
        watching.cancel()

    assert "SIM:S001 trade" in "".join(said)
    assert "hb" not in "".join(said)


async def test_watch_ends_and_says_what_the_gateway_does_not_accept(
    redis_url: str, namespace: str
) -> None:
    keys = ApiKeys({"KEY": hashlib.sha256(b"s3cret").digest()})
    async with gateway(redis_url, namespace, keys=keys) as rig:
        url = f"http://127.0.0.1:{rig.service.port}"
        keyless, keyed = Settings(url=url), Settings(url=url, api_key="KEY:s3cret")
        wrong = Settings(url=url, api_key="KEY:wrong")
        for settings, symbol, reason in (
            (keyless, "SIM:S001", "first (code 401); give a key with --api-key"),
            (wrong, "SIM:S001", "(code 402)"),
            (keyed, "NO SYMBOL", "(code 400)"),
        ):
            with pytest.raises(ExceptionGroup) as failures:
                await asyncio.wait_for(Watch(settings, (symbol,)).run(), 10)
            (refused,) = failures.value.exceptions
            assert isinstance(refused, Refused)
            assert str(refused).endswith(reason)
            assert str(refused).count("(code ") == 1


async def test_watch_goes_on_with_the_channels_that_its_key_permits(
    redis_url: str, namespace: str, eventually: Eventually, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def tells(words: str) -> bool:
        said.extend(capsys.readouterr())
        return words in "".join(said)

    async with (
        gateway(redis_url, namespace, access=access_of(_ring("trades", "updatedBars"))) as rig,
        asyncio.TaskGroup() as group,
    ):
        url = f"http://127.0.0.1:{rig.service.port}"
        watch = Watch(Settings(url=url, api_key="KEY:s3cret"), ("SIM:S001",))
        watching = group.create_task(watch.run(), name="watch")
        limits = "tickgate watch: not permitted to this key: bars, running_bars\n"
        await eventually(lambda: tells(limits))
        await rig.trade("SIM:S001")
        await eventually(lambda: tells("SIM:S001 trade"))
        watching.cancel()


async def test_watch_ends_where_its_key_permits_none_of_its_channels(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace, access=access_of(_ring("bars5Min"))) as rig:
        url = f"http://127.0.0.1:{rig.service.port}"
        watch = Watch(Settings(url=url, api_key="KEY:s3cret"), ("SIM:S001",))
        with pytest.raises(ExceptionGroup) as failures:
            await asyncio.wait_for(watch.run(), 10)
        (refused,) = failures.value.exceptions

    reason = "insufficient subscription: channel trades (code 409)"
    assert str(refused) == f"the gateway refused: {reason}"


def _ring(*channels: str) -> Keyring:
    """One key, for these channels alone."""
    caller = Caller(key_id="KEY", channels=frozenset(channels))
    return Keyring({"KEY": KeyRecord(hashlib.sha256(b"s3cret").digest(), caller)})


async def _shown(terminal: int, *words: str) -> None:
    """Read *terminal* until each of *words* was on it, wherever the lines are broken."""
    text, loop = "", asyncio.get_running_loop()
    async with asyncio.timeout(20):
        while not all(_squeezed(word) in _squeezed(text) for word in words):
            readable = asyncio.Event()
            loop.add_reader(terminal, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(terminal)
            text += os.read(terminal, 65536).decode(errors="replace")


def _squeezed(text: str) -> str:
    """*text* without what moves and colours, and without blanks and ends of lines."""
    return "".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split())
