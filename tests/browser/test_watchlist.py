"""The watch-list and the symbol search: by keyboard, kept in the browser."""

import json
import re

import pytest
from playwright.async_api import Browser, expect

from tests.browser.desk import Desk, open_desk

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]


async def test_a_search_by_keyboard_adds_the_symbol_and_shows_it(desk: Desk) -> None:
    await _watch(desk, ["SIM:S001", "SIM:S002"])
    await desk.visit("SIM:S001")
    await desk.until(lambda state: state["symbols"] == 14)
    assert (await desk.state())["shown"] == ["SIM:S001", "SIM:S002"]

    await desk.page.keyboard.press("/")
    await desk.page.keyboard.type("s00")
    await desk.until(lambda state: state["found"] == [f"SIM:S00{n}" for n in range(1, 10)])
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        await desk.page.keyboard.press(key)

    await desk.until(lambda state: state["symbol"] == "SIM:S003" and state["loaded"])
    assert (await desk.state())["shown"] == ["SIM:S001", "SIM:S002", "SIM:S003"]
    await expect(desk.page.locator("#said")).to_have_text("SIM:S003 added to the watch-list")
    row = desk.page.locator("[data-symbol='SIM:S003'] .row-change")
    await expect(row).to_have_text(re.compile(r"^[+\u2212]?\d+\.\d\d%$"))
    await desk.page.reload()
    await desk.until(lambda state: len(state["shown"]) == 3)


async def test_a_search_on_a_phone_turns_from_the_trades_to_the_list(desk: Desk) -> None:
    await desk.on_screen(390, 844)
    await desk.visit("SIM:S001")
    await desk.page.locator("#sides").get_by_label("Trades").check()
    await expect(desk.page.locator("#search")).to_be_hidden()

    await desk.page.keyboard.press("/")
    await expect(desk.page.locator("#search")).to_be_focused()
    await desk.page.keyboard.press("Escape")
    await desk.page.locator("#sides").get_by_label("Trades").check()
    await desk.page.keyboard.press("w")

    await expect(desk.page.locator("[data-symbol='SIM:S001'] .row-open")).to_be_focused()
    await expect(desk.page.locator("#sides").get_by_label("Watch-list")).to_be_checked()


async def test_what_a_search_finds_on_a_phone_is_on_the_screen_and_moves_under_a_finger(
    browser: Browser, gateway_url: str
) -> None:
    async with open_desk(browser, gateway_url, width=390, height=844) as desk:
        finger = await desk.page.context.new_cdp_session(desk.page)
        await finger.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        await desk.visit("SIM:S001")
        await desk.until(lambda state: state["symbols"] == 14)
        await desk.page.locator("#search").fill("s0")
        await desk.until(lambda state: len(state["found"]) == 12)
        last = desk.page.locator("[data-symbol='SIM:S010'].match")
        box = await last.bounding_box()
        assert box is not None
        assert 0 < box["y"] < 844 - box["height"]

        async def touch(kind: str, y: float | None = None) -> None:
            points = [] if y is None else [{"x": box["x"] + 50, "y": y}]
            await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        await touch("touchStart", box["y"])
        for pixels in range(10, 80, 10):
            await touch("touchMove", box["y"] - pixels)
        await touch("touchEnd")
        moved = "() => document.getElementById('matches').scrollTop > 20"
        await desk.eventually(lambda: desk.page.evaluate(moved))
        state = await desk.state()
        assert (state["symbol"], len(state["found"])) == ("SIM:S001", 12)
        await desk.page.locator("[data-symbol='SIM:S012'].match").click()

        await desk.until(lambda state: state["symbol"] == "SIM:S012" and not state["found"])


async def test_on_a_phone_on_its_side_the_list_is_below_the_chart(desk: Desk) -> None:
    await desk.on_screen(667, 375)
    await desk.visit("SIM:S001")

    await desk.front(".title").hover()
    await desk.page.mouse.wheel(0, 500)

    await expect(desk.page.locator("#list .row").first).to_be_in_viewport(ratio=1)


async def test_a_search_without_a_match_says_so(desk: Desk) -> None:
    await desk.visit("SIM:S001")
    await desk.until(lambda state: state["symbols"] == 14)

    await desk.page.keyboard.press("/")
    await desk.page.keyboard.type("doge")
    await expect(desk.page.locator("#no-match")).to_have_text("No symbol matches “doge”.")
    await desk.page.keyboard.press("Enter")
    await desk.page.keyboard.press("Escape")

    await expect(desk.page.locator("#no-match")).to_be_hidden()
    assert (await desk.state())["symbol"] == "SIM:S001"


async def test_keys_and_buttons_reorder_and_remove(desk: Desk) -> None:
    await _watch(desk, ["SIM:S001", "SIM:S002", "SIM:S003"])
    await desk.visit("SIM:S002")
    await desk.until(lambda state: len(state["shown"]) == 3)

    await desk.page.keyboard.press("w")
    await desk.page.keyboard.press("Alt+ArrowUp")
    await desk.until(lambda s: s["shown"] == ["SIM:S002", "SIM:S001", "SIM:S003"])
    await desk.page.keyboard.press("ArrowDown")
    await desk.page.keyboard.press("Delete")
    await desk.until(lambda s: s["shown"] == ["SIM:S002", "SIM:S003"])
    await expect(desk.page.locator("[data-symbol='SIM:S003'] .row-open")).to_be_focused()
    await desk.page.locator("#edit").click()
    await desk.page.get_by_role("button", name="Move up: S003").click()
    await desk.page.get_by_role("button", name="Remove: S002").click()

    await desk.until(lambda s: s["shown"] == ["SIM:S003"])
    await desk.page.reload()
    await desk.until(lambda s: s["shown"] == ["SIM:S003"])


async def test_tabs_share_the_list_and_none_undoes_what_another_did(desk: Desk) -> None:
    await _watch(desk, ["SIM:S001", "SIM:S002"])
    other = Desk(await desk.page.context.new_page(), desk.url)
    for tab in (desk, other):
        await tab.visit("SIM:S001")

    for tab, typed, count in ((desk, "S003", 3), (other, "S004", 4)):
        await tab.page.locator("#search").fill(typed)
        await tab.page.locator("#search").press("Enter")
        await desk.until(lambda state, count=count: len(state["shown"]) == count)  # type: ignore[misc]

    assert (await desk.state())["shown"] == [f"SIM:S00{number}" for number in range(1, 5)]
    await other.page.close()


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ('["SIM:S001"', 14),  # cut off: as if nothing had been chosen
        ('{"symbols":["SIM:S001"]}', 14),
        ('[1,null,"SIM:S002","SIM:S002","<b>","no:good!"]', 1),
    ],
)
async def test_a_damaged_memory_costs_the_page_nothing_else(
    desk: Desk, kept: str, shown: int
) -> None:
    for key in ("watched", "charts", "theme", "single-keys"):
        await _remember(desk, f"tickgate.{key}", kept)

    await desk.visit()
    await desk.until(lambda state: len(state["shown"]) == shown and state["bars"])
    assert len((await desk.state())["panes"]) == 1


async def _watch(desk: Desk, symbols: list[str]) -> None:
    await _remember(desk, "tickgate.watched", json.dumps(symbols))


async def _remember(desk: Desk, key: str, text: str) -> None:
    """Have it kept as if by an earlier visit."""
    await desk.page.evaluate("([key, text]) => localStorage.setItem(key, text)", [key, text])
