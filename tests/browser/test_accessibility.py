"""The page for everybody: rules of accessibility, the keyboard alone, calm for who wants it."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.axe import Axe
from tests.browser.desk import Desk
from tests.browser.market import OLD

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE = "SIM:S001"
_TABS = 60  # more presses of Tab than the page has stops


@pytest.fixture(scope="module")
def axe() -> Axe:
    return Axe.installed()


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_no_view_violates_a_rule_of_accessibility_at_any_width(
    desk: Desk, axe: Axe, theme: str
) -> None:
    async def at_both_widths(desk: Desk) -> dict[int, list[dict[str, Any]]]:
        found = {}
        for width in (390, 1440):
            await desk.page.set_viewport_size({"width": width, "height": 844})
            found[width] = await axe.violations(desk.page)
        return found

    none: dict[int, list[dict[str, Any]]] = {390: [], 1440: []}
    await desk.on_screen(theme=theme)
    await desk.visit(f"{LIVE}/1Min,{OLD.symbol}")
    assert await at_both_widths(desk) == none, "two charts"

    await desk.page.locator("#edit").click()
    await desk.page.keyboard.press("/")
    await desk.page.keyboard.type("s00")
    await expect(desk.page.locator("#matches")).to_be_visible()
    assert await at_both_widths(desk) == none, "a search, over a list that is edited"

    await desk.page.keyboard.press("Escape")
    await desk.page.keyboard.press("Escape")
    await desk.page.keyboard.press("s")
    await expect(desk.page.locator("#status-feeds li")).to_have_count(3)
    assert await at_both_widths(desk) == none, "status"

    await desk.page.keyboard.press("?")
    await expect(desk.page.locator("#keys-dialog")).to_be_visible()
    assert await at_both_widths(desk) == none, "keys"


async def test_the_tab_key_comes_everywhere_visibly_and_out_again(desk: Desk) -> None:
    await desk.visit(LIVE)

    stops = await _stops(desk.page)

    names = [name for name, _ in stops]
    assert names[:2] == ["skip-chart", "skip-list"]
    for name in ("status-link", "theme", "chart", "search", "edit", "row-open", "tape-scroll"):
        assert name in names, f"{name} cannot be reached"
    assert names[-1] == "body", "the page holds the focus"
    assert [name for name, is_visible in stops[:-1] if not is_visible] == []


async def test_a_skip_link_leads_to_the_chart_and_arrows_scroll_it(desk: Desk) -> None:
    await desk.visit(OLD.symbol)

    await desk.page.keyboard.press("Tab")
    await desk.page.keyboard.press("Enter")
    await expect(desk.front(".chart")).to_be_focused()
    for _ in range(3):
        await desk.page.keyboard.press("Shift+ArrowLeft")
    await expect(desk.front(".follow")).to_be_visible()
    await desk.page.keyboard.press("End")
    await expect(desk.front(".follow")).to_be_hidden()
    assert desk.page.url.endswith(f"#{OLD.symbol}/1Min")


async def test_single_keys_work_until_they_are_switched_off(desk: Desk) -> None:
    await desk.visit(LIVE)

    await desk.page.keyboard.press("2")
    await desk.visit_done("5Min")
    await desk.page.keyboard.press("?")
    await desk.page.get_by_label("Single keys do all this").uncheck()
    await desk.page.keyboard.press("Escape")
    await expect(desk.page.locator("#keys-dialog")).to_be_hidden()
    await desk.page.keyboard.press("1")
    await desk.page.keyboard.press("s")

    assert (await desk.state())["timeframe"] == "5Min"
    await expect(desk.page.locator("#status-view")).to_be_hidden()
    await desk.page.reload()
    await desk.until(lambda state: state["loaded"])
    assert not await desk.page.locator("#single-keys").is_checked()


async def test_nothing_moves_for_those_who_want_it_calm(desk: Desk) -> None:
    await desk.page.emulate_media(reduced_motion="reduce")
    await desk.visit(LIVE)
    price = desk.page.locator(f"[data-symbol='{LIVE}'] .row-price")
    first = await price.text_content()
    await expect(price).not_to_have_text(first or "", timeout=15_000)
    running = await desk.page.evaluate("() => document.getAnimations().length")
    flashed = await desk.page.locator("[data-flash]").count()

    assert (running, flashed) == (0, 0)


async def test_a_price_that_changes_is_underlined_for_a_moment(desk: Desk) -> None:
    await desk.visit(LIVE)
    price = desk.page.locator(f"[data-symbol='{LIVE}'] .row-price")

    await expect(price).to_have_attribute("data-flash", re.compile("up|down"), timeout=15_000)
    await expect(price).not_to_have_attribute("data-flash", re.compile(".*"))


async def test_live_regions_do_not_speak_of_prices(desk: Desk) -> None:
    await desk.visit(LIVE)

    regions = await desk.page.evaluate(
        """() => [...document.querySelectorAll("output, [aria-live], [role=status], [role=log]")]
          .map((element) => element.id)"""
    )
    assert regions == ["said"]
    assert "Connected" in (await desk.page.locator("#said").text_content() or "")


async def _stops(page: Page) -> list[tuple[str, bool]]:
    """Where the Tab key stops until it leaves the page, and whether the focus can be seen there."""
    stops: list[tuple[str, bool]] = []
    while len(stops) < _TABS:
        await page.keyboard.press("Tab")
        name, is_visible = await page.evaluate(_FOCUSED)
        stops.append((name, is_visible))
        if name == "body":
            break
    return stops


# Its own outline or shadow, or that of what stands for it: a label's text, the search box.
_FOCUSED = """() => {
  const at = document.activeElement;
  const marked = (element) => {
    if (!element) return false;
    const { outlineStyle, outlineWidth, clipPath } = getComputedStyle(element);
    return outlineStyle !== "none" && parseFloat(outlineWidth) > 0 && clipPath === "none";
  };
  const box = at.closest(".search");
  const accent = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
  const probe = Object.assign(document.createElement("i"), { style: `color: ${accent}` });
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  const isSeen = marked(at) || marked(at.nextElementSibling)
    || (box !== null && getComputedStyle(box).borderTopColor === colour);
  const name = at.id || at.classList[0] || at.name || at.tagName;
  return [at === document.body ? "body" : name, isSeen];
}"""
