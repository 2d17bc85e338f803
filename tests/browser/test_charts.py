"""Several charts, longer timeframes, and what is marked on them."""

from typing import Any

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.desk import Desk, open_desk, stored_bars
from tests.browser.market import FAST, OLD

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE = "SIM:S001"
FOUR = f"{LIVE}/1Min,{FAST.symbol}/5Min,{OLD.symbol}/15Min,SIM:S002/1Min"


async def test_four_charts_have_their_own_symbols_and_timeframes_on_one_stream(desk: Desk) -> None:
    sockets: list[str] = []
    desk.page.on("websocket", lambda socket: sockets.append(socket.url))

    await desk.page.goto(f"{desk.url}/#{FOUR}")
    await desk.until(lambda s: all(pane["loaded"] and pane["bars"] for pane in s["panes"]))

    panes = (await desk.state())["panes"]
    assert ",".join(f"{pane['symbol']}/{pane['timeframe']}" for pane in panes) == FOUR
    assert await desk.bars(2) == await stored_bars(desk.url, OLD.symbol, "15Min")
    first = (await desk.bars(0))[-1], (await desk.bars(3))[-1]

    async def have_moved() -> bool:
        now = (await desk.bars(0))[-1], (await desk.bars(3))[-1]
        return now[0] != first[0] and now[1] != first[1]

    await desk.eventually(have_moved)
    assert len(sockets) == 1


async def test_the_layout_is_in_the_address_and_kept(desk: Desk) -> None:
    await desk.visit(LIVE)
    await desk.until(lambda state: state["symbols"] == 14)

    await desk.page.get_by_label("2 charts").check()
    await desk.until(lambda s: len(s["panes"]) == 2 and all(p["loaded"] for p in s["panes"]))
    await desk.page.keyboard.press("n")
    await desk.page.locator(f"[data-symbol='{OLD.symbol}'] .row-open").click()
    await desk.until(lambda s: s["symbol"] == OLD.symbol and s["loaded"])

    assert desk.page.url.endswith(f"#{LIVE}/1Min,{OLD.symbol}/1Min")
    await expect(desk.page.locator("#tape-title")).to_have_text("Trades of BTC-USD")
    await desk.page.goto("about:blank")
    await desk.page.goto(f"{desk.url}/")
    await desk.until(lambda s: [p["symbol"] for p in s["panes"]] == [LIVE, OLD.symbol])
    await desk.page.keyboard.press("l")
    await desk.page.keyboard.press("l")
    await desk.until(lambda s: [p["symbol"] for p in s["panes"]] == [LIVE])


async def test_a_phone_shows_one_of_several_charts_at_a_time(
    browser: Browser, gateway_url: str
) -> None:
    async with open_desk(browser, gateway_url, width=390, height=844) as desk:
        await desk.page.goto(f"{gateway_url}/#{FOUR}")
        await desk.until(lambda s: all(pane["loaded"] for pane in s["panes"]))
        charts = desk.page.locator(".pane .chart")
        await expect(charts.locator("visible=true")).to_have_count(1)

        await desk.page.get_by_role("button", name="Next chart").click()

        await expect(charts.nth(1)).to_be_visible()
        await expect(charts.nth(0)).to_be_hidden()
        sizes = await desk.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert sizes == [390, 390]


async def test_what_one_chart_is_refused_costs_the_others_nothing(
    browser: Browser, gateway_url: str
) -> None:
    async with open_desk(browser, gateway_url) as desk:
        await desk.page.goto(f"{gateway_url}/#NO GOOD!/1Min,{LIVE}/1Min")
        await desk.until(lambda s: s["panes"][1]["bars"] and s["subscribed"])

        await expect(desk.page.locator(".pane >> nth=0").locator(".overlay-text")).to_contain_text(
            "NO GOOD!"
        )
        first = (await desk.bars(1))[-1]

        async def has_moved() -> bool:
            return (await desk.bars(1))[-1] != first

        await desk.eventually(has_moved)
        desk.complaints.clear()  # Chromium logs the request that was refused


async def test_bars_with_trades_missing_are_marked(desk: Desk) -> None:
    async def with_a_gap(route: Route) -> None:
        answer = await (await route.fetch()).json()
        for rows in answer["bars"].values():
            rows[3]["gap"] = True
        await route.fulfill(json=answer)

    await desk.page.route("**/v1/bars?**", with_a_gap)
    await desk.visit(OLD.symbol, "15Min")

    drawn: dict[str, Any] = await desk.page.evaluate("() => tickgate.series()")
    assert drawn["marks"] == [drawn["bars"][-4]["time"]]
    await desk.page.unroute_all(behavior="wait")
