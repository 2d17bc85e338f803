import asyncio
import os
import subprocess
from pathlib import Path

import pytest
import uvloop

from tests.conformance.echo import SETTINGS, EchoService
from tests.conformance.fuzzing import SCRIPT, Case, fuzz
from tests.integration.gateway.rig import gateway

_TABLE = Path(__file__).parents[2] / "test-results" / "autobahn.txt"
_INSTALL_S = 100


@pytest.fixture(scope="package")
def fuzzing_client() -> None:
    """Autobahn's client is installed; a skip that says why without Python 2.7, in CI a failure."""
    command = ["bash", str(SCRIPT), "install"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)
    reason = done.stderr.strip()
    if done.returncode and os.environ.get("CI"):
        pytest.fail(f"the fuzzing client must run in CI: {reason}")
    if done.returncode:
        pytest.skip(reason)


@pytest.fixture(scope="package")
def cases(
    fuzzing_client: None, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Case]:
    """What the client found, by the case's name; the table is left in test-results."""

    async def run() -> dict[str, Case]:
        async with gateway(redis_url, "autobahn", settings=SETTINGS, make=EchoService) as rig:
            return await fuzz(rig.url, folder)

    folder = tmp_path_factory.mktemp("autobahn")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the roles run
        found = runner.run(run())
    _TABLE.parent.mkdir(exist_ok=True)
    _TABLE.write_text("".join(f"{case}\n" for case in found.values()))
    return found
