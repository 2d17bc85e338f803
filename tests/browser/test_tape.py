"""The trade tape, and the state of the system as the page shows it."""

import asyncio
import json
import re
import urllib.parse
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, Route, WebSocketRoute, expect

from tests.browser.conftest import proxy_before
from tests.browser.desk import Desk, open_desk, read_json

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE, OTHER = "SIM:S001", "SIM:S002"
_ROWS = 200
_STORED_POLL_S = 0.3

Trades = Counter[tuple[str, float]]  # when, to the millisecond, and at which price


async def test_trades_scroll_by_with_their_sides_and_can_be_held(desk: Desk) -> None:
    await desk.visit(LIVE)
    rows = desk.page.locator("#tape-rows tr")
    await expect(rows.nth(5)).to_be_visible(timeout=15_000)
    text = await rows.first.text_content()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}(▲ Buy|▼ Sell)[\d,]+\.\d+[\d,.]+", text or "")

    await desk.page.keyboard.press("p")
    note = desk.page.locator("#tape-note")
    await expect(note).to_have_text(re.compile(r"\d+ more"), timeout=15_000)
    held = await rows.all_text_contents()  # now that what came before the key is drawn
    await expect(note).not_to_have_text(await note.text_content() or "", timeout=15_000)
    assert await rows.all_text_contents() == held
    await desk.page.get_by_role("button", name="Go on").click()
    await expect(rows.first).not_to_have_text(held[0])


async def test_the_tape_begins_with_the_trades_before_and_those_missed_are_filled_in(
    browser: Browser, gateway_url: str
) -> None:
    async with proxy_before(gateway_url) as proxy, open_desk(browser, proxy.url) as desk:
        await desk.visit(LIVE)
        rows = desk.page.locator("#tape-rows tr")
        await expect(rows.nth(5)).to_be_attached(timeout=15_000)

        await proxy.refuse()
        await desk.until(lambda state: state["connection"] == "lost")
        newest = await rows.first.text_content()
        await proxy.heal()
        await desk.until(lambda state: state["subscribed"])
        await expect(rows.first).not_to_have_text(newest or "", timeout=15_000)
        await expect(rows).to_have_count(_ROWS, timeout=20_000)
        await expect(desk.page.locator(".tape-gap")).to_have_count(0)
        shown = {LIVE: await _shown(desk)}

        before, after = await desk.page.evaluate(_SWITCHED, [OTHER, "Trades of S002"])
        assert set(before) & set(after) == set()
        await expect(rows).to_have_count(_ROWS, timeout=20_000)
        shown[OTHER] = await _shown(desk)

        await desk.page.goto("about:blank")  # they are stored some seconds later
        for symbol, trades in shown.items():
            await desk.eventually(lambda s=symbol, t=trades: _are_stored(gateway_url, s, t))
        desk.complaints.clear()  # Chromium logs each failed request


async def test_trades_without_ids_are_joined_by_their_order(own_desk: Desk) -> None:
    early, alike, late = (_bare(number) for number in (1, 2, 3))

    async def answer(route: Route) -> None:
        await route.fulfill(
            json={"trades": {LIVE: [late, alike, alike, alike, early]}, "next_page_token": None}
        )

    await own_desk.page.route("**/v1/trades?**", answer)
    sockets = await _visit_without_trades(own_desk)
    live = [{"T": "t", "S": LIVE} | trade for trade in (alike, alike, late)]
    sockets[0].send(json.dumps(live))

    rows = own_desk.page.locator("#tape-rows tr")
    await expect(rows).to_have_count(5)
    times = [(text or "")[9:12] for text in await rows.all_text_contents()]
    assert times == ["003", "002", "002", "002", "001"]


async def test_who_may_not_read_the_past_sees_what_comes_live_and_no_word_of_it(
    desk: Desk,
) -> None:
    asked = 0

    async def refuse(route: Route) -> None:
        nonlocal asked
        asked += 1
        await route.fulfill(status=403, json={"code": 403, "message": "not for this key"})

    await desk.page.route("**/v1/trades?**", refuse)
    await desk.visit(LIVE)
    rows = desk.page.locator("#tape-rows tr")
    await expect(rows.nth(20)).to_be_attached(timeout=30_000)  # some seconds' trades

    assert asked == 1
    assert (await desk.state())["problem"] == ""
    assert "not for this key" not in (await desk.page.locator("body").text_content() or "")
    assert all("403" in text for text in desk.complaints)  # Chromium logs the answer
    desk.complaints.clear()


async def test_corrections_and_cancels_are_struck_through_and_the_tape_is_bounded(
    own_desk: Desk,
) -> None:
    sockets = await _visit_without_trades(own_desk)
    rows = own_desk.page.locator("#tape-rows tr")
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
    await own_desk.page.keyboard.press("s")
    await expect(own_desk.page.locator("#status-gaps li")).to_contain_text(LIVE)


@pytest.mark.parametrize("width", [721, 1440])
async def test_prices_and_sizes_of_any_length_have_room(own_desk: Desk, width: int) -> None:
    await own_desk.page.set_viewport_size({"width": width, "height": 844})
    sockets = await _visit_without_trades(own_desk)

    sockets[0].send(json.dumps([_trade(1) | {"p": 1_239_624_499.12, "s": 0.0000000123}]))
    await expect(own_desk.page.locator("#tape-rows td").last).to_have_text("0.0000000123")

    async def has_room() -> bool:
        room: int = await own_desk.page.evaluate(
            """() => {
                const { clientWidth, scrollWidth } = document.querySelector(".tape-scroll");
                return clientWidth - scrollWidth;
            }"""
        )
        return room >= 0

    await own_desk.eventually(has_room, timeout_s=5)


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

    await expect(desk.front(".chart")).to_be_focused()
    assert desk.page.url.endswith(f"#{LIVE}/1Min")


async def test_a_status_that_cannot_be_had_is_said_to_be_old(own_desk: Desk) -> None:
    await own_desk.page.clock.install()
    await own_desk.visit(LIVE)
    await own_desk.page.keyboard.press("s")
    await expect(own_desk.page.locator("#status-title")).to_be_focused()
    await expect(own_desk.page.locator("#status-age")).to_have_text("Refreshed every 5 s")

    async def away(route: Route) -> None:
        await route.fulfill(status=503, json={"code": 503, "message": "Redis is away"})

    await own_desk.page.route("**/v1/status", away)
    await own_desk.page.clock.run_for(5_000)  # ms: as often as the page asks
    await expect(own_desk.page.locator("#status-age")).to_have_text(
        re.compile(r"^Not up to date \(as of \d+ s ago\)\. Redis is away$"), timeout=15_000
    )
    await expect(own_desk.page.locator("#feeds-label")).to_have_text("Feeds unknown")
    await own_desk.page.unroute_all(behavior="wait")
    own_desk.complaints.clear()  # Chromium logs the answer that was an error


async def _visit_without_trades(desk: Desk) -> list[WebSocketRoute]:
    """Open the page on a stream without the market's own trades: those on the tape are known."""
    sockets: list[WebSocketRoute] = []

    def pass_on(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda text: None if '"T":"t"' in str(text) else socket.send(text))
        sockets.append(socket)

    await desk.page.route_web_socket("**/v1/stream", pass_on)
    await desk.visit(LIVE)
    return sockets


async def _shown(desk: Desk) -> Trades:
    """The trades on the tape: how many of each."""
    rows = await desk.page.evaluate(_CLOCKS_AND_PRICES)
    now = datetime.now(UTC)
    return Counter((_time(clock, now), float(price.replace(",", ""))) for clock, price in rows)


async def _are_stored(url: str, symbol: str, shown: Trades) -> bool:
    """Are *shown* those of `/v1/trades`, from the oldest to the newest of them?"""
    first, last = min(shown)[0], max(shown)[0]
    stored = await asyncio.to_thread(_newest_trades, url, symbol)
    if not stored or max(stored)[0] <= last:
        await asyncio.sleep(_STORED_POLL_S)
        return False
    between = Counter(each for each in stored if first < each[0] < last)
    assert between == Counter({e: n for e, n in shown.items() if first < e[0] < last})
    return True


def _newest_trades(url: str, symbol: str) -> list[tuple[str, float]]:
    query = urllib.parse.urlencode(
        {"symbols": symbol, "sort": "desc", "limit": 2_000, "start": "2000-01-01"}
    )
    trades = read_json(f"{url}/v1/trades?{query}")["trades"].get(symbol, [])
    return [(_cut(trade["t"]), trade["p"]) for trade in trades]


def _cut(time: str) -> str:
    """To the millisecond, cut off, as the tape writes it."""
    whole, _, decimals = time.rstrip("Z").partition(".")
    return f"{whole}.{decimals[:3].ljust(3, '0')}"


def _time(clock: str, now: datetime) -> str:
    """When it was last so late: the tape tells no date."""
    today = f"{now:%Y-%m-%d}T{clock}"
    is_over = today <= now.isoformat()
    return today if is_over else f"{now - timedelta(days=1):%Y-%m-%d}T{clock}"


def _bare(number: int) -> dict[str, Any]:
    return {"t": f"2024-03-12T10:37:00.{number:03}Z", "p": 5.25, "s": 1.0}


_CLOCKS_AND_PRICES = """() => [...document.querySelectorAll("#tape-rows tr")]
  .map((row) => [row.cells[0].textContent, row.cells[2].textContent])"""

# What the tape shows before another symbol is chosen, and once its title is painted.
_SWITCHED = """async ([symbol, named]) => {
  const title = document.querySelector("#tape-title");
  const texts = () => [...document.querySelectorAll("#tape-rows tr")].map((row) => row.textContent);
  const frame = () => new Promise(requestAnimationFrame);
  while (!texts().length) await frame();
  const before = texts();
  document.querySelector(`[data-symbol='${symbol}'] .row-open`).click();
  while (title.textContent !== named) await frame();
  await frame(); // in that of the change, this may come before the page's own work
  return [before, texts()];
}"""


def _trade(number: int) -> dict[str, Any]:
    time = f"2024-03-12T10:37:00.{number:03}Z"
    return {"T": "t", "S": LIVE, "p": 5.25, "s": 1.0, "t": time, "i": number, "tks": "B"}


def _said(kind: str, **facts: object) -> dict[str, Any]:
    return {"T": kind, "S": LIVE, **facts}
