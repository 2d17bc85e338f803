"""Fixtures for every test; those with servers behind them are in :mod:`tests.fix_servers`."""

import asyncio
import gc
import inspect
import os
import signal
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from coverage import Coverage
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from loadtest import dev
from tests.own_log import own_log

pytest_plugins = ["tests.fix_servers"]

# At a desk every run tries new examples; CI tries the same ones, so that a red run is the change's.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

_POLL_S = 0.01
_BROWSER = "tests/browser/"
_UNMEASURED = (
    _BROWSER,
    "tests/conformance/",
    "tests/delivery/",
    "tests/faults/",
    "tests/integration/system/",
    "tests/loadtest/",
    "tests/sdk/",
)
"""Tests that start programs, or run what others run, too."""


class _ByWhatTheyStart(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A file's tests in one process, and those of the browser: they share a whole system."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_BROWSER):
            return _BROWSER
        return str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """How ``--dist loadfile`` hands tests out."""
    return _ByWhatTheyStart(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collected tests stay to the end: the garbage collector need not look them through again and
    again, which took a tenth of the time of short tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Coverage is counted by tests that try things one by one: it takes a third of their time."""
    coverage = Coverage.current()
    if coverage is None or not item.nodeid.startswith(_UNMEASURED):
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


@pytest.fixture(scope="session", autouse=True)
def programs_are_not_measured() -> None:
    """Coverage counts what tests run themselves: measured, the programs they start took a third
    longer, and so did the whole run."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS_")]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A test that runs a command in this process leaves no log behind that writes to its output."""
    with own_log():
        yield


@pytest.fixture
def without_nohup() -> Iterator[None]:
    """SIGHUP ends this process and what it starts, also where the tests were started by nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Eventually(Protocol):
    """``found = await eventually(condition)``."""

    async def __call__(
        self, condition: Callable[[], Any | Awaitable[Any]], *, timeout_s: float = 10.0
    ) -> Any:
        """Wait until *condition* (plain or async) returns something true, and return that."""


@pytest.fixture
def eventually() -> Eventually:
    """Wait for what cannot be awaited itself, with a deadline.

    An AssertionError of the condition counts as "not yet", and is what the test fails with.
    """

    async def wait(
        condition: Callable[[], Any | Awaitable[Any]], *, timeout_s: float = 10.0
    ) -> Any:
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while True:
            failure: AssertionError | None = None
            result = None
            try:
                result = condition()
                if inspect.isawaitable(result):
                    result = await asyncio.wait_for(result, timeout_s)
            except AssertionError as exc:
                result, failure = None, exc
            if result:
                return result
            if asyncio.get_running_loop().time() >= deadline_s:
                if failure is not None:
                    raise failure
                raise AssertionError(f"not so within {timeout_s:g} s, last was {result!r}")
            await asyncio.sleep(_POLL_S)

    return wait


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    return find_free_port()


def find_free_port() -> int:
    """As the fixture; for tests that need one more."""
    return dev.free_port()


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data; a skip without it, in CI a failure."""
    folder = os.environ.get("TEST_MARKET_DATA", "")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = f"TEST_MARKET_DATA={folder}: no such folder" if folder else "TEST_MARKET_DATA is unset"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI the real data must be there")
    pytest.skip(f"{reason}: it names the folder of real market data")
