"""The trade tape, and the state of the system as the page shows it."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from tests.browser.desk import Desk

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE = "SIM:S001"
_ROWS = 200


async def test_trades_scroll_by_with_their_sides_and_can_be_held(desk: Desk) -> None:
    await desk.visit(LIVE)
    rows = desk.page.locator("#tape-rows tr")
    await expect(rows.nth(5)).to_be_visible(timeout=15_000)
    text = await rows.first.text_content()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}(▲ Buy|▼ Sell)[\d,]+\.\d+[\d,.]+", text or "")

    await desk.page.keyboard.press("p")
    held = await rows.all_text_contents()
    await expect(desk.page.locator("#tape-note")).to_have_text(
        re.compile(r"\d+ more"), timeout=15_000
    )
    assert await rows.all_text_contents() == held
    await desk.page.get_by_role("button", name="Go on").click()
    await expect(rows.first).not_to_have_text(held[0])


async def test_corrections_and_cancels_are_struck_through_and_the_tape_is_bounded(
    desk: Desk,
) -> None:
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        # Of the market's own trades nothing comes: what is on the tape is known then.
        server.on_message(lambda text: None if '"T":"t"' in str(text) else socket.send(text))
        sockets.append(socket)

    await desk.page.route_web_socket("**/v1/stream", pass_on)
    await desk.visit(LIVE)
    rows = desk.page.locator("#tape-rows tr")
    send = sockets[0].send

    send(json.dumps([_trade(number) for number in range(300)]))
    await expect(rows).to_have_count(_ROWS)
    send(json.dumps([_said("x", i=299), _said("c", oi=298, ci=1298, cp=7.5, cs=2.0)]))
    send(json.dumps([_said("gap", state="open", **{"from": "2024-03-12T10:37:00Z"})]))

    await expect(rows.nth(0)).to_contain_text("trades are missing")
    await expect(rows.nth(1)).to_contain_text("cancelled")
    await expect(rows.nth(2)).to_contain_text("correction")
    await expect(rows.nth(2)).to_contain_text("7.5")
    await expect(rows.nth(3)).to_contain_text("corrected")
    for row in (1, 3):
        await expect(rows.nth(row).locator("td").nth(2)).to_have_css(
            "text-decoration-line", "line-through"
        )
    await expect(rows).to_have_count(_ROWS)
    await desk.page.keyboard.press("s")
    await expect(desk.page.locator("#status-gaps li")).to_contain_text(LIVE)


async def test_the_status_view_shows_feeds_roles_and_what_they_need(desk: Desk) -> None:
    await desk.visit(LIVE)

    await desk.page.locator("#status-link").click()
    feeds = desk.page.locator("#status-feeds li")
    await expect(feeds).to_have_count(3)
    await expect(feeds.filter(has_text="sim")).to_contain_text("Live")
    await expect(desk.page.locator("#status-dependencies li")).to_have_count(2)
    await expect(desk.page.locator("#status-roles")).to_contain_text("aggregator")
    await expect(desk.page.locator("#total-lag")).to_have_text(re.compile(r"^[\d,]+ blocks$"))
    await desk.page.keyboard.press("Escape")

    await expect(desk.front(".chart")).to_be_visible()
    assert desk.page.url.endswith(f"#{LIVE}/1Min")


async def test_a_status_that_cannot_be_had_is_said_to_be_old(desk: Desk) -> None:
    await desk.visit(LIVE)
    await desk.page.keyboard.press("s")
    await expect(desk.page.locator("#status-age")).to_have_text("Refreshed every 5 s")

    async def away(route: Route) -> None:
        await route.fulfill(status=503, json={"code": 503, "message": "Redis is away"})

    await desk.page.route("**/v1/status", away)
    await expect(desk.page.locator("#status-age")).to_have_text(
        re.compile(r"^Not up to date \(as of \d+ s ago\)\. Redis is away$"), timeout=15_000
    )
    await expect(desk.page.locator("#feeds-label")).to_have_text("Feeds unknown")
    await desk.page.unroute_all(behavior="wait")
    desk.complaints.clear()  # Chromium logs the answer that was an error


def _trade(number: int) -> dict[str, Any]:
    time = f"2024-03-12T10:37:00.{number:03}Z"
    return {"T": "t", "S": LIVE, "p": 5.25, "s": 1.0, "t": time, "i": number, "tks": "B"}


def _said(kind: str, **facts: object) -> dict[str, Any]:
    return {"T": kind, "S": LIVE, **facts}
