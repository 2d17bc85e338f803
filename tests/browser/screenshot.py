"""Make the pictures of the page in docs/images: `python -m tests.browser.screenshot`.

They show the real system: a simulated market with a day of history.
"""

import asyncio
import itertools
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import async_playwright, expect

from tests.browser.conftest import FLAGS, running_system
from tests.browser.desk import CHROMIUM, Desk, open_desk, read_json, stored_bars
from tests.clocks import wall_ns

_IMAGES = Path(__file__).parents[2] / "docs" / "images"
_SIM = "sim:?symbols=36&rate=120&seed=3&history=1800"
_WHOLE = 600  # minutes up to now that must be stored: more than the charts and lines show
_LIVE_S = 60.0  # an age of the newest event at which the history is over
_MAX_BYTES = 300_000


class _Picture(NamedTuple):
    name: str
    address: str
    theme: str
    width: int = 1440
    height: int = 900


_PICTURES = (
    _Picture("page-four", "#SIM:S001/1Min,SIM:S002/5Min,SIM:S003/15Min,SIM:S004/1Min", "light"),
)


def main() -> None:
    """Run a market, wait for its history, and take the pictures."""
    with (
        tempfile.TemporaryDirectory() as name,
        running_system(Path(name) / "market", [_SIM]) as url,
    ):
        asyncio.run(_take(url))


async def _take(url: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for picture in _PICTURES:
            async with open_desk(
                browser, url, width=picture.width, height=picture.height, theme=picture.theme
            ) as desk:
                await desk.eventually(lambda: _is_live(url), timeout_s=300)
                await _shoot(desk, picture)
        await browser.close()


async def _shoot(desk: Desk, picture: _Picture) -> None:
    await desk.page.goto(f"{desk.url}/{picture.address}")
    await desk.until(lambda s: all(pane["bars"] for pane in s["panes"]), timeout_s=90)
    await desk.until(lambda s: s["loaded"] and s["latencyMs"], timeout_s=90)
    await expect(desk.page.locator("#latency")).to_have_text(re.compile("ms$"))
    if "status" not in picture.address:
        await expect(desk.page.locator(".spark polyline").first).to_be_attached(timeout=30_000)
        await expect(desk.page.locator("#tape-rows tr").nth(12)).to_be_attached(timeout=90_000)
    image = await desk.page.screenshot()
    assert len(image) < _MAX_BYTES, f"{picture.name}: {len(image)} bytes"
    await asyncio.to_thread((_IMAGES / f"{picture.name}.png").write_bytes, image)


async def _is_live(url: str) -> bool:
    """Is the history over and stored, and the market live?"""
    status = await asyncio.to_thread(read_json, f"{url}/v1/status")
    ages = [feed["age_s"] for feed in status["feeds"] if feed["age_s"] is not None]
    if not ages or min(ages) > _LIVE_S or not status["aggregator"]:
        return False
    times = [bar["time"] for bar in (await stored_bars(url, "SIM:S001", "1Min"))[-_WHOLE:]]
    steps = {after - before for before, after in itertools.pairwise(times)}
    return len(times) == _WHOLE and steps == {60} and times[-1] > wall_ns() / 1e9 - 3 * 60


if __name__ == "__main__":
    main()
