"""One open page, and what the tests ask it."""

import asyncio
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from playwright.async_api import Browser, ConsoleMessage, Error, Locator, Page

# Debian's builds of the same engine; without a browser's windows it opens a page in half the time.
_BROWSERS = ("chromium-headless-shell", "chromium")
CHROMIUM = next(filter(None, map(shutil.which, _BROWSERS)), "")
"""The browser's program; empty where there is none."""

WIDTH, HEIGHT = 1440, 900
_POLL_S = 0.06
_NAMES = {
    "o": "open",
    "h": "high",
    "l": "low",
    "c": "close",
    "v": "volume",
    "n": "trades",
    "vw": "vwap",
    "rev": "rev",
    "final": "final",
}

Bars = list[dict[str, Any]]


@dataclass
class Desk:
    """A page, its address and everything it complained about."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)

    async def visit(self, symbol: str | None = None, timeframe: str = "1Min") -> None:
        """Open the page and wait until its chart stands."""
        fragment = f"#{symbol}/{timeframe}" if symbol else ""
        await self.page.goto(f"{self.url}/{fragment}")
        await self.until(lambda s: s["subscribed"] and s["loaded"])

    async def visit_done(self, timeframe: str) -> None:
        """Wait until the chart of another timeframe stands."""
        await self.until(lambda s: s["timeframe"] == timeframe and s["loaded"])

    async def state(self) -> dict[str, Any]:
        """What the page says it shows; empty before its script runs."""
        state: dict[str, Any] = await self.page.evaluate("() => window.tickgate?.state() ?? {}")
        return state

    async def bars(self, chart: int | None = None) -> Bars:
        """The bars as the chart library draws them, read back from it; of the active chart."""
        bars: Bars = await self.page.evaluate(
            "(chart) => tickgate.series(chart ?? undefined).bars", chart
        )
        return bars

    async def until(
        self, condition: Callable[[dict[str, Any]], object], *, timeout_s: float = 40.0
    ) -> None:
        """Wait for a state of the page."""

        async def holds() -> object:
            state = await self.state()
            return state and condition(state)

        await self.eventually(holds, timeout_s=timeout_s)

    async def eventually(
        self, condition: Callable[[], Awaitable[object]], *, timeout_s: float = 40.0
    ) -> None:
        """Wait until *condition* holds; fails with the page's state."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:  # the page cannot be told to call back: its content policy forbids it
                    assert self.crashes == []
                    if await condition():
                        return
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as exc:
            state = await self.state()
            state.pop("shown", None)
            raise AssertionError(
                f"not so within {timeout_s:g} s: {state} {self.complaints}"
            ) from exc

    async def on_screen(
        self, width: int = WIDTH, height: int = HEIGHT, theme: str = "dark"
    ) -> None:
        """Have the page on a screen of that size, of somebody who likes that theme."""
        await self.page.set_viewport_size({"width": width, "height": height})
        await self.page.emulate_media(color_scheme=_scheme(theme), reduced_motion="no-preference")

    def front(self, css: str) -> Locator:
        """A part of the active chart's pane."""
        return self.page.locator(f".pane.front {css}")

    async def text(self, css: str) -> str:
        """Text of a part of the active chart's pane."""
        return (await self.front(css).text_content() or "").strip()


@asynccontextmanager
async def open_desk(
    browser: Browser, url: str, *, width: int = WIDTH, height: int = HEIGHT, theme: str = "dark"
) -> AsyncIterator[Desk]:
    """A page in a context of its own. Errors on its console or in its scripts fail the test."""
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=_scheme(theme)
    )
    desk = Desk(await context.new_page(), url)
    with _listening(desk):
        yield desk
        await context.close()


@asynccontextmanager
async def used_desk(page: Page, url: str) -> AsyncIterator[Desk]:
    """As :func:`open_desk`, in a page that others had before: it has what was compiled for them.

    Each takes away what it leaves, but for ways, clocks and scripts of a test's own, for which
    Playwright has no end.
    """
    desk = Desk(page, url)
    await desk.on_screen()
    try:
        with _listening(desk):
            yield desk
    finally:
        await _tidy(desk)


async def leave(page: Page, url: str) -> None:
    """For an address of the gateway without scripts."""
    await page.goto(f"{url}/livez")


async def _tidy(desk: Desk) -> None:
    """Nothing is kept: it is as a new page but for its cache."""
    await desk.page.unroute_all(behavior="ignoreErrors")
    await leave(desk.page, desk.url)
    await desk.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    await desk.page.mouse.move(0, 0)


@contextmanager
def _listening(desk: Desk) -> Iterator[None]:
    def note(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:  # violations of the content policy are errors
            desk.complaints.append(message.text)

    def crash(error: Error) -> None:
        desk.crashes.append(f"{error.name}: {error.message}")

    desk.page.on("console", note)
    desk.page.on("pageerror", crash)
    try:
        yield
    finally:
        desk.page.remove_listener("console", note)
        desk.page.remove_listener("pageerror", crash)
    assert desk.complaints + desk.crashes == []


def _scheme(theme: str) -> Literal["dark", "light"]:
    return "dark" if theme == "dark" else "light"


async def stored_bars(url: str, symbol: str, timeframe: str) -> Bars:
    """All of a symbol's closed bars as `/v1/bars` gives them, oldest first, in the page's names."""
    bars: Bars = []
    token = None
    while True:
        query = {
            "symbols": symbol,
            "timeframe": timeframe,
            "start": "1990-01-01",
            "limit": "10000",
        }
        if token:
            query["page_token"] = token
        answer = await asyncio.to_thread(
            read_json, f"{url}/v1/bars?{urllib.parse.urlencode(query)}"
        )
        bars += answer["bars"].get(symbol, [])
        token = answer["next_page_token"]
        if token is None:
            return [_renamed(bar) for bar in bars]


def _renamed(bar: dict[str, Any]) -> dict[str, Any]:
    time = int(datetime.fromisoformat(bar["t"]).timestamp())
    return {"time": time} | {name: bar[short] for short, name in _NAMES.items()}


def read_json(url: str) -> Any:
    """A JSON answer."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
