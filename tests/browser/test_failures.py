"""What the gateway could not do just now: the page says so, and goes on by itself."""

import json

import pytest
from playwright.async_api import Route, WebSocketRoute, expect

from tests.browser.desk import Desk
from tests.browser.market import OLD

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE = "SIM:S001"
FULL = "connection limit exceeded: 5 per address"


async def test_an_error_that_names_no_symbol_is_no_fault_of_a_chart(own_desk: Desk) -> None:
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await own_desk.page.route_web_socket("**/v1/stream", pass_on)
    await own_desk.visit(LIVE)
    await own_desk.until(lambda state: state["bars"])
    note = own_desk.front(".pane-note")

    sockets[0].send(json.dumps([{"T": "error", "code": 406, "msg": FULL}]))
    await expect(note).to_have_text(FULL)
    await sockets[0].close(code=1008, reason=FULL)
    await own_desk.until(lambda s: len(sockets) > 1 and s["subscribed"] and not s["loading"])

    await expect(note).to_be_hidden()
    first = (await own_desk.bars())[-1]

    async def has_moved() -> bool:
        return (await own_desk.bars())[-1] != first

    await own_desk.eventually(has_moved)


async def test_a_lost_connection_is_said_without_pushing_buttons_off_the_screen(
    own_desk: Desk,
) -> None:
    await own_desk.page.route_web_socket("**/v1/stream", lambda socket: socket.close(code=1012))
    await own_desk.page.route("**/v1/status", lambda route: route.fulfill(status=503, json={}))
    await own_desk.page.goto(f"{own_desk.url}/#{LIVE}")
    await own_desk.until(lambda state: state["connection"] == "lost")
    await expect(own_desk.page.locator("#feeds-label")).to_have_text("Feeds unknown")

    for width in (320, 721, 1024):
        await own_desk.page.set_viewport_size({"width": width, "height": 844})
        for button in ("#retry", "#theme"):
            await expect(own_desk.page.locator(button)).to_be_in_viewport(ratio=1)
        assert await own_desk.page.evaluate("() => document.body.scrollWidth") == width
    own_desk.complaints.clear()  # Chromium logs the answers


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


async def test_older_bars_that_could_not_be_read_come_by_themselves_and_are_not_hammered_for(
    desk: Desk,
) -> None:
    asked, is_busy = 0, True

    async def busy(route: Route) -> None:
        nonlocal asked
        asked += 1
        if is_busy:
            await route.fulfill(status=503, json={"code": 503, "message": "just now"})
        else:
            await route.continue_()

    await desk.page.route("**/v1/bars?*page_token=*", busy)
    await desk.visit(OLD.symbol)
    await desk.page.evaluate("() => tickgate.scrollBy(-850)")
    await desk.until(lambda state: state["problem"] == "just now")
    for _ in range(20):
        await desk.page.evaluate("() => tickgate.scrollBy(-1)")
        await desk.until(lambda state: not state["loading"])

    assert asked < 4
    is_busy = False
    await desk.until(lambda state: state["bars"] > 1_000 and not state["problem"])
    await desk.page.unroute_all(behavior="wait")
    desk.complaints.clear()  # Chromium logs the answers


async def test_a_chart_that_is_not_streamed_says_so_also_where_its_history_can_be_read(
    own_desk: Desk,
) -> None:
    def refuse_charts(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            if "bars" in json.loads(message):
                socket.send(json.dumps([{"T": "error", "code": 405, "msg": "too many symbols"}]))
            else:
                server.send(message)

        socket.on_message(pass_on)

    await own_desk.page.route_web_socket("**/v1/stream", refuse_charts)
    await own_desk.visit(LIVE)
    await own_desk.until(lambda state: state["bars"] and not state["loading"])

    await expect(own_desk.front(".pane-note")).to_have_text("too many symbols")
    assert (await own_desk.state())["problem"] == "too many symbols"


async def test_who_closes_the_question_for_a_key_is_told_what_is_wanted_and_can_answer(
    own_desk: Desk,
) -> None:
    asked = 0

    async def refuse(route: Route) -> None:
        nonlocal asked
        asked += route.request.url.endswith("/v1/status")
        await route.fulfill(status=401, json={"code": 401, "message": "unknown key"})

    def deny(socket: WebSocketRoute) -> None:
        socket.send(json.dumps([{"T": "success", "msg": "connected"}]))
        socket.send(json.dumps([{"T": "error", "code": 402, "msg": "unknown key"}]))

    await own_desk.page.clock.install()
    await own_desk.page.set_viewport_size({"width": 320, "height": 844})
    await own_desk.page.route("**/v1/*", refuse)
    await own_desk.page.route_web_socket("**/v1/stream", deny)
    await own_desk.page.goto(f"{own_desk.url}/#{LIVE}")
    dialog = own_desk.page.locator("#key-dialog")
    await expect(dialog).to_be_visible()
    await own_desk.page.keyboard.press("Escape")

    await expect(own_desk.page.locator("#connection-label")).to_have_text("Key wanted")
    await expect(own_desk.front(".overlay-text")).to_have_text("unknown key")
    await expect(own_desk.page.locator("#theme")).to_be_in_viewport(ratio=1)
    before = asked

    async def was_refused_again() -> bool:
        await own_desk.page.clock.run_for(60_000)  # ms: as seldom as the page asks
        return asked > before + 1  # so that the answer before was taken in

    # Who has closed the dialog is left in peace.
    await own_desk.eventually(was_refused_again)
    await expect(dialog).to_be_hidden()
    await own_desk.page.locator("#retry").click()
    await expect(dialog).to_be_visible()
    own_desk.complaints.clear()  # Chromium logs the answers
