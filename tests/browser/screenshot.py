"""Make the pictures of the page in docs/images: `python -m tests.browser.screenshot`.

They show the real system: a simulated market, and a replayed day of the same symbols before it.
"""

import asyncio
import csv
import json
import random
import re
import tempfile
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright, expect

from tests.browser.conftest import FLAGS, running_system
from tests.browser.desk import CHROMIUM, open_desk

_IMAGES = Path(__file__).parents[2] / "docs" / "images"
_SIM = "sim:?symbols=48&rate=150&seed=3"
_HOURS = 26
_TRADES_A_MINUTE = 6
_SECOND_NS = 1_000_000_000
_SYMBOL = "SIM:S010"
_MAX_BYTES = 300_000


def main() -> None:
    """Learn the simulated market's prices, put a day before them, and take the pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_system(folder / "first", [_SIM]) as url:
            prices = asyncio.run(_first_prices(url))
        day = _write_day(folder / "day.csv", prices)
        feeds = [f"replay:{day}?speed=max&venue=SIM", _SIM]
        with running_system(folder / "second", feeds) as url:
            asyncio.run(_take(url))


async def _first_prices(url: str) -> dict[str, float]:
    """The price each symbol starts with: the seed makes it the same in the next run."""
    while True:
        symbols = await asyncio.to_thread(_get, f"{url}/v1/symbols")
        prices = {each["ticker"]: each["last_trade"] for each in symbols["symbols"]}
        if len(prices) == 48 and all(prices.values()):
            return {ticker: trade["p"] for ticker, trade in prices.items()}
        await asyncio.sleep(0.1)


def _write_day(path: Path, prices: dict[str, float]) -> Path:
    """A random walk to the prices where the simulated market starts.

    It ends with the last full five minutes: the end of a replay closes the windows it is in.
    """
    chance = random.Random(11)
    end_ns = int(datetime.now(UTC).timestamp()) // 300 * 300 * _SECOND_NS
    rows = []
    for ticker, last in prices.items():
        digits = len(repr(last).partition(".")[2])
        price, step_ns = last, 60 * _SECOND_NS // _TRADES_A_MINUTE
        for back in range(1, _HOURS * 60 * _TRADES_A_MINUTE):
            price *= 1 + chance.gauss(0, 0.00025)
            size = round(chance.lognormvariate(6, 0.9), 2)
            event_ns = end_ns - back * step_ns + chance.randrange(step_ns)
            rows.append((ticker, "", event_ns, "buy", round(price, digits), size))
    rows.sort(key=lambda row: row[2])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "trade_id", "event_ns", "side", "price", "size"])
        writer.writerows(rows)
    return path


async def _take(url: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for theme in ("dark", "light"):
            async with open_desk(browser, url, theme=theme) as desk:
                await desk.visit(_SYMBOL, "5Min")
                await desk.until(lambda s: len(s["shown"]) == 48, timeout_s=60)
                await desk.eventually(lambda: _has_day(url), timeout_s=120)
                await desk.page.reload()
                await desk.until(lambda s: s["loaded"] and s["latencyMs"], timeout_s=30)
                await expect(desk.page.locator("#latency")).to_have_text(re.compile("ms$"))
                await desk.page.mouse.move(760, 420)
                await desk.page.mouse.move(10, 2)
                picture = await desk.page.screenshot()
                assert len(picture) < _MAX_BYTES, f"{len(picture)} bytes"
                await asyncio.to_thread((_IMAGES / f"page-{theme}.png").write_bytes, picture)
        await browser.close()


async def _has_day(url: str) -> bool:
    """Has the whole day been replayed?"""
    feeds = (await asyncio.to_thread(_get, f"{url}/v1/status"))["feeds"]
    return any(feed["state"] == "ended" for feed in feeds)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main()
