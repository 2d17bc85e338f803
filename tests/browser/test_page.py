"""The page at work in a real browser, on the real system."""

import re

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.conftest import proxy_before
from tests.browser.desk import Desk, open_desk, stored_bars
from tests.browser.market import FAST, OLD, OLD_MINUTES

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

LIVE = "SIM:S001"


async def test_a_candle_appears_and_moves_with_the_market(desk: Desk) -> None:
    await desk.visit(LIVE)
    await desk.until(lambda state: state["bars"])
    first = (await desk.bars())[-1]

    async def has_moved() -> bool:
        return (await desk.bars())[-1] != first

    await desk.eventually(has_moved)
    last = (await desk.bars())[-1]
    assert last["low"] <= min(last["open"], last["close"])
    assert last["high"] >= max(last["open"], last["close"])
    assert await desk.text(".symbol") == "S001"
    assert re.fullmatch(r"[\d,]+\.\d+", await desk.text(".price"))


@pytest.mark.parametrize("timeframe", ["1Min", "5Min", "15Min"])
async def test_bars_that_close_and_are_revised_under_the_eyes_equal_the_stored_ones(
    desk: Desk, timeframe: str
) -> None:
    await desk.visit(FAST.symbol, timeframe)
    at_first = {bar["time"] for bar in await desk.bars() if bar["final"]}

    async def has_seen_enough() -> bool:
        bars = [bar for bar in await desk.bars() if bar["final"]]
        new = [bar for bar in bars if bar["time"] not in at_first]
        return bool(new) and any(bar["rev"] for bar in bars)

    await desk.eventually(has_seen_enough, timeout_s=60)
    await desk.eventually(lambda: _equals_stored(desk, FAST.symbol, timeframe))


async def test_the_last_candle_closes_at_the_last_price(desk: Desk) -> None:
    async def are_equal() -> bool:
        price, close = await desk.page.evaluate(_PRICE_AND_CLOSE)
        return bool(price == close)

    await desk.visit(LIVE)
    await desk.eventually(are_equal)  # the first price is that of a snapshot, of another moment

    for _ in range(20):  # running bars from the server, a little older, come in between
        price, close = await desk.page.evaluate(_PRICE_AND_CLOSE)
        assert price == close


async def test_scrolling_back_loads_all_of_history(desk: Desk) -> None:
    await desk.visit(OLD.symbol)
    assert len(await desk.bars()) < OLD_MINUTES

    for count in (900, 1_800, 2_600):
        await desk.page.evaluate("(bars) => tickgate.scrollBy(-bars)", count)
        await desk.until(lambda state: not state["loading"])

    await desk.until(lambda state: not state["hasMore"])
    bars = await desk.bars()
    assert len(bars) == OLD_MINUTES
    assert bars == await stored_bars(desk.url, OLD.symbol, "1Min")
    await expect(desk.front(".follow")).to_be_visible()


async def test_dragging_the_chart_back_loads_history(desk: Desk) -> None:
    await desk.visit(OLD.symbol)
    before = len(await desk.bars())
    await desk.page.evaluate("tickgate.scrollBy(-550)")  # there are two screens more to the oldest
    box = await desk.front(".chart").bounding_box()
    assert box is not None
    left, right, middle = box["x"] + 20, box["x"] + box["width"] - 120, box["y"] + 200

    async def has_more() -> bool:
        await desk.page.mouse.move(left, middle)
        await desk.page.mouse.down()
        for x in (left + 8, left + 16, right):  # the library takes the first two for the beginning
            await desk.page.mouse.move(x, middle)
        await desk.page.mouse.up()
        return len(await desk.bars()) > before

    await desk.eventually(has_more, timeout_s=90)  # some drags, each drawn in many frames


async def test_a_timeframe_switch_shows_the_bars_of_that_length(desk: Desk) -> None:
    await desk.visit(OLD.symbol)

    for label, timeframe, seconds in (("5 minutes", "5Min", 300), ("15 minutes", "15Min", 900)):
        await desk.page.get_by_label(label, exact=True).check()
        await desk.visit_done(timeframe)
        bars = await desk.bars()
        assert all(bar["time"] % seconds == 0 for bar in bars)
        assert bars == await stored_bars(desk.url, OLD.symbol, timeframe)
        assert desk.page.url.endswith(f"#{OLD.symbol}/{timeframe}")


async def test_a_lost_connection_shows_and_heals_without_a_hole(
    browser: Browser, gateway_url: str
) -> None:
    async with proxy_before(gateway_url) as proxy, open_desk(browser, proxy.url, width=390) as desk:
        await desk.visit(FAST.symbol)
        await desk.until(lambda state: state["bars"])

        await proxy.refuse()
        await desk.until(lambda state: state["connection"] == "lost")
        await expect(desk.page.locator("#connection-label")).to_have_text(
            re.compile(r"Lost: reconnecting in \d+ s|Reconnecting")
        )
        await expect(desk.page.locator("#said")).to_contain_text("Connection lost")
        assert await desk.page.evaluate(_CUT_OFF) == []
        known = (await desk.bars())[-1]["time"]

        async def has_gone_on() -> bool:
            stored = await stored_bars(gateway_url, FAST.symbol, "1Min")
            return bool(stored and stored[-1]["time"] > known + 60)

        await desk.eventually(has_gone_on)
        await proxy.heal()
        await desk.until(lambda state: state["subscribed"], timeout_s=40)
        await expect(desk.page.locator("#connection-label")).to_have_text("Live")
        await expect(desk.page.locator("#feeds-label")).not_to_have_text("Feeds unknown")
        await desk.eventually(lambda: _equals_stored(desk, FAST.symbol, "1Min"))
        _forgive_lost_requests(desk)


async def test_a_way_that_went_silent_is_noticed(browser: Browser, gateway_url: str) -> None:
    async with proxy_before(gateway_url) as proxy, open_desk(browser, proxy.url) as desk:
        await desk.page.clock.install()
        await desk.visit(LIVE)

        proxy.black_hole()
        await desk.page.clock.run_for(38_000)  # ms: nothing for 2.5 heartbeats, each after 15 s
        await desk.until(lambda state: state["connection"] == "lost")
        assert await desk.page.locator("#connection").get_attribute("title") == (
            "nothing was heard for 37.5 s"
        )
        await proxy.heal()
        _forgive_lost_requests(desk)


async def test_a_stale_feed_shows_with_its_silence(desk: Desk) -> None:
    async def silenced(route: Route) -> None:
        status = await (await route.fetch()).json()
        (sim,) = (feed for feed in status["feeds"] if feed["feed"] == "sim")
        sim["stale"], sim["last_tick"] = True, "2024-03-12T10:36:44Z"
        status["time_ns"] = 1_710_239_849_000_000_000  # 45 s later
        await route.fulfill(json=status)

    await desk.page.route("**/v1/status", silenced)
    await desk.visit(LIVE)

    await expect(desk.page.locator("#feeds-label")).to_have_text("sim stale")
    await desk.page.locator("#status-link").click()
    await expect(desk.page.locator("#status-feeds")).to_contain_text("no trade for 45 s")
    await desk.page.unroute_all(behavior="wait")


async def test_the_list_shows_prices_changes_and_the_latency_of_live_trades(desk: Desk) -> None:
    await desk.visit(LIVE)
    row = desk.page.locator(f"[data-symbol='{LIVE}']")

    await expect(row.locator(".row-price")).to_have_text(re.compile(r"^[\d,]+\.\d+$"))
    await expect(row.locator(".row-change")).to_have_text(re.compile(r"^[+\u2212]?\d+\.\d\d%$"))
    first = await row.locator(".row-price").text_content()
    await expect(row.locator(".row-price")).not_to_have_text(first or "", timeout=15_000)
    await expect(desk.page.locator("#latency")).to_have_text(re.compile(r"^\d+ ms$"))
    await expect(desk.page.locator("#feeds-label")).to_have_text(re.compile("feed"))


async def test_a_bare_name_in_the_address_finds_its_symbol(desk: Desk) -> None:
    await desk.visit("btc/usd", "5Min")

    await desk.until(lambda state: state["symbol"] == OLD.symbol and state["loaded"])
    assert desk.page.url.endswith(f"#{OLD.symbol}/5Min")


async def test_a_symbol_nobody_carries_is_said_to_be_unknown(desk: Desk) -> None:
    await desk.visit("SIM:NOBODY")

    await expect(desk.front(".overlay-title")).to_have_text("Unknown symbol")
    await expect(desk.front(".overlay-text")).to_contain_text("SIM:NOBODY is not among the 14")


async def test_what_the_server_refuses_is_said_in_its_words(desk: Desk) -> None:
    await desk.page.goto(f"{desk.url}/#NO GOOD!/1Min")
    await expect(desk.front(".overlay-title")).to_have_text(
        "This chart cannot be shown", timeout=15_000
    )
    await expect(desk.front(".overlay-text")).to_contain_text("NO GOOD!")

    await desk.page.locator(f"[data-symbol='{LIVE}']").click()
    await desk.until(lambda state: state["symbol"] == LIVE and state["loaded"])
    await expect(desk.front(".overlay")).to_be_hidden()
    _forgive_lost_requests(desk)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_both_themes_fit_a_phone_and_a_desk(desk: Desk, width: int, theme: str) -> None:
    await desk.on_screen(width, 844, theme)
    await desk.visit(LIVE)
    sizes = await desk.page.evaluate(
        "() => [document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]"
    )
    ground = await desk.page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    assert sizes == [width, width, width]
    assert (await desk.state())["theme"] == theme
    assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (theme == "dark")
    for element in (".chart", "#search", "#list", ".timeframes", "#connection", "#theme"):
        await expect(desk.page.locator(element)).to_be_in_viewport()
    cut = await desk.page.evaluate(_CUT_OFF)
    assert cut == []


@pytest.mark.parametrize("width", [360, 721, 1024, 1440])
async def test_long_prices_and_sizes_of_trades_fit_every_screen(desk: Desk, width: int) -> None:
    await desk.on_screen(width, 844)
    await desk.visit(LIVE)
    if width < 720:
        await desk.page.locator("#sides").get_by_label("Trades").check()
    await expect(desk.page.locator("#tape-rows tr").nth(2)).to_be_visible()

    ends = await desk.page.evaluate(
        """() => {
            const [, , price, size] = document.querySelectorAll("#tape-rows tr")[1].cells;
            price.textContent = "109,123.45";
            size.textContent = "9,999.99";
            const end = (css) => document.querySelector(css).getBoundingClientRect().right;
            return [document.body.scrollWidth, end("#tape-rows"), end("#tape-pause") + 4];
        }"""
    )

    assert max(ends) <= width


async def test_the_candles_stay_off_the_words_above_them_where_the_chart_is_low(desk: Desk) -> None:
    await desk.on_screen(720, 450)
    await desk.visit(OLD.symbol)

    async def is_clear() -> bool:
        found: int = await desk.page.evaluate(
            """() => {
                const css = getComputedStyle(document.documentElement);
                const tones = ["--up", "--down"].map((name) => css.getPropertyValue(name));
                const part = (tone, at) => parseInt(tone.slice(at, at + 2), 16);
                const rgb = (tone) => [1, 3, 5].map((at) => part(tone, at));
                const words = document.querySelector(".legend").getBoundingClientRect();
                const canvas = document.querySelector(".chart canvas");
                const { x, y } = canvas.getBoundingClientRect();
                const place = [words.x - x, words.y - y, words.width, words.height];
                const { data } = canvas.getContext("2d").getImageData(...place);
                const candles = tones.map((tone) => rgb(tone).join());
                let found = 0;
                for (let at = 0; at < data.length; at += 4) {
                    found += candles.includes([...data.slice(at, at + 3)].join());
                }
                return found;
            }"""
        )
        return found == 0

    await desk.eventually(is_clear, timeout_s=5)
    # Chromium has advice for who reads a canvas more than once.
    assert all("willReadFrequently" in text for text in desk.complaints)
    desk.complaints.clear()


@pytest.mark.parametrize("width", [390, 1440])
async def test_a_symbol_as_long_as_may_be_fits_every_screen(desk: Desk, width: int) -> None:
    symbol = "SIM:" + "LONG-" * 8
    await desk.on_screen(width, 844)
    await desk.visit(symbol)
    await expect(desk.page.locator("#tape-title")).to_have_text(f"Trades of {symbol[4:]}")

    assert await desk.page.evaluate("() => document.body.scrollWidth") == width
    await expect(desk.page.locator("#search")).to_be_in_viewport(ratio=1)


async def test_the_theme_chosen_outlives_a_visit(desk: Desk) -> None:
    await desk.visit(LIVE)

    await desk.page.get_by_role("button", name="Switch to the light theme").click()
    await desk.until(lambda state: state["theme"] == "light")
    await desk.page.reload()
    await desk.until(lambda state: state["theme"] == "light")


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_the_text_has_contrast(desk: Desk, theme: str) -> None:
    await desk.on_screen(theme=theme)
    await desk.visit(LIVE)

    assert await desk.page.evaluate(_WEAK_CONTRAST) == []  # nothing below 4.5 to 1


async def test_the_charts_name_their_maker(desk: Desk) -> None:
    await desk.visit(LIVE)

    link = desk.page.get_by_role("link", name="Charts by TradingView")
    await expect(link).to_be_visible()
    assert await link.get_attribute("href") == "https://www.tradingview.com/"


async def _equals_stored(desk: Desk, symbol: str, timeframe: str) -> bool:
    """Are the closed bars drawn those of `/v1/bars`, up to what was stored since they were read?"""
    drawn = [bar for bar in await desk.bars() if bar["final"]]
    stored = await stored_bars(desk.url, symbol, timeframe)
    return bool(drawn) and drawn == [bar for bar in stored if bar["time"] <= drawn[-1]["time"]]


def _forgive_lost_requests(desk: Desk) -> None:
    """Chromium logs each failed request; what else was said is kept."""
    expected = re.compile(r"WebSocket connection|Failed to load resource|net::ERR")
    desk.complaints = [text for text in desk.complaints if not expected.search(text)]


# Both in one frame, after the page has drawn it.
_PRICE_AND_CLOSE = """async () => {
  await new Promise((then) => setTimeout(then, 100));
  await new Promise((then) => requestAnimationFrame(() => setTimeout(then)));
  return [document.querySelector(".price"), document.querySelector(".legend-close")]
    .map((element) => element.textContent);
}"""

_CUT_OFF = """() => [...document.querySelectorAll(".top *, .head *, .foot *")]
  .filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && (box.left < 0 || box.right > innerWidth + 0.5);
  })
  .map((element) => element.id || element.className)"""

# WCAG 2: relative luminance and contrast, of text against the nearest opaque background.
_WEAK_CONTRAST = """() => {
  const channels = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const weak = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest("svg, .chart")) continue;
    const a = luminance(channels(getComputedStyle(element).color));
    const b = luminance(ground(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.add(`${element.id || element.className}: ${ratio.toFixed(2)}`);
  }
  return [...weak];
}"""


async def test_the_title_of_a_tab_in_the_background_has_the_price_of_now(own_desk: Desk) -> None:
    await own_desk.page.add_init_script(
        """
        const frame = window.requestAnimationFrame.bind(window);
        window.requestAnimationFrame = (work) => document.hidden ? 0 : frame(work);
        window.isAway = false;
        Object.defineProperty(document, "hidden", { get: () => window.isAway });
        """
    )
    await own_desk.visit("SIM:S001")
    await own_desk.page.evaluate("() => { isAway = true; }")
    titles: set[str] = set()

    async def goes_on() -> bool:
        titles.add(await own_desk.page.title())
        return len(titles) > 3  # a frame that is under way makes one of them

    await own_desk.eventually(goes_on, timeout_s=10)
