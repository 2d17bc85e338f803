"""What the gateway could not do just now: the page says so, and goes on by itself."""

import json

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from tests.browser.desk import Desk

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE = "SIM:S001"
FULL = "connection limit exceeded: 5 per address"


async def test_an_error_that_names_no_symbol_is_no_fault_of_a_chart(desk: Desk) -> None:
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await desk.page.route_web_socket("**/v1/stream", pass_on)
    await desk.visit(LIVE)
    await desk.until(lambda state: state["bars"])
    note = desk.front(".pane-note")

    sockets[0].send(json.dumps([{"T": "error", "code": 406, "msg": FULL}]))
    await expect(note).to_have_text(FULL)
    await sockets[0].close(code=1008, reason=FULL)
    await desk.until(lambda s: len(sockets) > 1 and s["subscribed"] and not s["loading"])

    await expect(note).to_be_hidden()
    first = (await desk.bars())[-1]

    async def has_moved() -> bool:
        return (await desk.bars())[-1] != first

    await desk.eventually(has_moved)


async def test_a_lost_connection_is_said_without_pushing_buttons_off_the_screen(
    desk: Desk,
) -> None:
    await desk.page.route_web_socket("**/v1/stream", lambda socket: socket.close(code=1012))
    await desk.page.route("**/v1/status", lambda route: route.fulfill(status=503, json={}))
    await desk.page.goto(f"{desk.url}/#{LIVE}")
    await desk.until(lambda state: state["connection"] == "lost")
    await expect(desk.page.locator("#feeds-label")).to_have_text("Feeds unknown")

    for width in (320, 721, 1024):
        await desk.page.set_viewport_size({"width": width, "height": 844})
        for button in ("#retry", "#theme"):
            await expect(desk.page.locator(button)).to_be_in_viewport(ratio=1)
        assert await desk.page.evaluate("() => document.body.scrollWidth") == width
    desk.complaints.clear()  # Chromium logs the answers


async def test_a_chart_that_could_not_be_read_comes_by_itself(desk: Desk) -> None:
    asked = 0

    async def busy(route: Route) -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            await route.continue_()
        else:
            await route.fulfill(status=503, json={"code": 503, "message": "just now"})

    await desk.page.route("**/v1/bars?*timeframe=1Min*", busy)
    await desk.page.goto(f"{desk.url}/#{LIVE}/1Min")
    await desk.until(lambda state: state["problem"] == "just now")

    await desk.until(lambda state: state["loaded"] and state["bars"] and not state["problem"])
    assert asked == 2
    await desk.page.unroute_all(behavior="wait")
    assert all("503" in text for text in desk.complaints)  # Chromium logs the answer
    desk.complaints.clear()
