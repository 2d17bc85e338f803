"""The real system behind the page: `tickgate dev` on its embedded servers, and a real Chromium."""

import asyncio
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.desk import CHROMIUM, Desk, leave, open_desk, used_desk
from tests.browser.market import FAST, FAST_SPEED, OLD, write_fast_market, write_old_market
from tests.conftest import find_free_port
from tests.fix_servers import TcpProxy

_ROOT = Path(__file__).parents[2]
_START_S = 60.0
_STOP_S = 30.0
_POLL_S = 0.05
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def chromium() -> str:
    """Path of the browser; a skip without it, in CI a failure."""
    if CHROMIUM:
        return CHROMIUM
    reason = "no browser: install Debian's package chromium-headless-shell, or chromium"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI it must be there")
    pytest.skip(reason)


@pytest.fixture(scope="package")
def gateway_url(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's address: one system for all browser tests, with live, fast and old markets."""
    folder = tmp_path_factory.mktemp("browser")
    feeds = [
        "sim:?symbols=12&rate=60&seed=5&history=120",
        f"replay:{write_old_market(folder / 'old.csv')}?speed=max&venue={OLD.venue}",
        f"replay:{write_fast_market(folder / 'fast.csv')}?speed={FAST_SPEED}&venue={FAST.venue}",
    ]
    with running_system(folder / "data", feeds) as url:
        yield url


class running_system:  # noqa: N801  used as a function
    """``with running_system(folder, feeds) as url``: `tickgate dev` as a user starts it."""

    def __init__(self, data_dir: Path, feeds: list[str]) -> None:
        self._port = find_free_port()
        self._log = data_dir.with_suffix(".log")
        command = [sys.executable, "-m", "tickgate", "dev", "--port", str(self._port)]
        command += ["--data-dir", str(data_dir)]
        for feed in feeds:
            command += ["--feed", feed]
        self._command = command

    def __enter__(self) -> str:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=_ROOT, stdout=log, stderr=subprocess.STDOUT
            )
        url = f"http://127.0.0.1:{self._port}"
        try:
            asyncio.run(self._until_ready(f"{url}/readyz"))
        except BaseException:
            self.__exit__()
            raise
        return url

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        finally:
            self._process.kill()
            self._process.wait()

    async def _until_ready(self, url: str) -> None:
        try:
            async with asyncio.timeout(_START_S):
                while not await asyncio.to_thread(_answers, url):
                    assert self._process.poll() is None, "tickgate dev ended"
                    await asyncio.sleep(_POLL_S)
        except (TimeoutError, AssertionError) as exc:
            raise AssertionError(f"{exc!r}:\n{self._log.read_text()[-3000:]}") from exc


def _answers(url: str) -> bool:
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One Chromium for all browser tests; each test gets a context of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def used_page(browser: Browser, gateway_url: str) -> AsyncIterator[Page]:
    """One page for many tests: opening one anew costs twice the time and the processor."""
    context = await browser.new_context()
    page = await context.new_page()
    await leave(page, gateway_url)
    yield page
    await context.close()


@pytest_asyncio.fixture(loop_scope="package")
async def desk(used_page: Page, gateway_url: str) -> AsyncIterator[Desk]:
    """A page at a desk's width, dark; at the end it must have had nothing to complain about."""
    async with used_desk(used_page, gateway_url) as desk:
        yield desk


@pytest_asyncio.fixture(loop_scope="package")
async def own_desk(browser: Browser, gateway_url: str) -> AsyncIterator[Desk]:
    """As ``desk``, for a test that gives it a clock, scripts or a stream of its own."""
    async with open_desk(browser, gateway_url) as desk:
        yield desk


@asynccontextmanager
async def proxy_before(url: str) -> AsyncIterator[TcpProxy]:
    """A proxy that can break the way between browser and gateway."""
    proxy = TcpProxy(url)
    await proxy.heal()
    try:
        yield proxy
    finally:
        await proxy.refuse()
