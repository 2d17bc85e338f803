"""Several charts, longer timeframes, and what is marked on them."""

from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.browser.desk import Desk, stored_bars
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


async def test_a_phone_shows_one_of_several_charts_at_a_time(desk: Desk) -> None:
    await desk.on_screen(390, 844)
    await desk.page.goto(f"{desk.url}/#{FOUR}")
    await desk.until(lambda s: all(pane["loaded"] for pane in s["panes"]))
    charts = desk.page.locator(".pane .chart")
    await expect(charts.locator("visible=true")).to_have_count(1)

    await desk.page.get_by_role("button", name="Next chart").click()

    await expect(charts.nth(1)).to_be_visible()
    await expect(charts.nth(0)).to_be_hidden()
    for width in (430, 390, 360, 320):
        await desk.page.set_viewport_size({"width": width, "height": 844})
        sizes = "() => [document.documentElement.scrollWidth, innerWidth]"
        assert await desk.page.evaluate(sizes) == [width, width]


async def test_what_one_chart_is_refused_costs_the_others_nothing(desk: Desk) -> None:
    await desk.page.goto(f"{desk.url}/#NO GOOD!/1Min,{LIVE}/1Min")
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
        for row in answer["bars"].get(OLD.symbol, [])[3:4]:  # of others the lines of the list
            row["gap"] = True
        await route.fulfill(json=answer)

    await desk.page.route("**/v1/bars?**", with_a_gap)
    await desk.visit(OLD.symbol, "15Min")

    drawn: dict[str, Any] = await desk.page.evaluate("() => tickgate.series()")
    assert drawn["marks"] == [drawn["bars"][-4]["time"]]
    await desk.page.unroute_all(behavior="wait")


async def test_longer_timeframes_equal_the_stored_ones(desk: Desk) -> None:
    await desk.visit(OLD.symbol, "1Min")
    for timeframe in ("1Hour", "4Hour", "1Day"):
        await desk.page.goto(f"{desk.url}/#{OLD.symbol}/{timeframe}")
        await desk.visit_done(timeframe)
        await desk.until(lambda state: state["bars"])

        stored = await stored_bars(desk.url, OLD.symbol, timeframe)
        drawn = await desk.bars()
        assert [_exact(bar) for bar in drawn[: len(stored)]] == [_exact(bar) for bar in stored]
        for bar, same in zip(drawn, stored, strict=False):
            assert bar["volume"] == pytest.approx(same["volume"])
            assert bar["vwap"] == pytest.approx(same["vwap"])


async def test_an_hour_that_runs_is_rolled_up_from_what_the_stream_brings(desk: Desk) -> None:
    await desk.visit(FAST.symbol, "1Hour")
    await desk.until(lambda state: state["bars"])
    first = (await desk.bars())[-1]

    async def has_grown() -> bool:
        last = (await desk.bars())[-1]
        return bool(last["time"] == first["time"] and last["trades"] > first["trades"] + 20)

    async def has_gone_on() -> bool:
        return bool((await desk.bars())[-1]["time"] > first["time"]) or await has_grown()

    await desk.eventually(has_gone_on)
    shorter = await stored_bars(desk.url, FAST.symbol, "15Min")
    last = (await desk.bars())[-1]
    parts = [bar for bar in shorter if bar["time"] >= last["time"]]
    assert last["trades"] >= sum(bar["trades"] for bar in parts)
    assert last["high"] >= max((bar["high"] for bar in parts), default=0)
    assert not last["final"]


async def test_rolled_windows_are_exact_whatever_the_order_of_their_bars(desk: Desk) -> None:
    await desk.visit(OLD.symbol)

    rolled = await desk.page.evaluate(_ROLL)

    assert rolled["shuffled"] == rolled["ordered"]
    assert rolled["ordered"] == {
        "time": 7200, "open": 4, "high": 9, "low": 1, "close": 7, "volume": 6, "trades": 6,
        "vwap": 6, "rev": 2, "gap": True, "final": True,
    }  # fmt: skip
    assert rolled["emptied"] == 0
    assert rolled["isWhole"] == [False, True]


def _exact(bar: dict[str, Any]) -> dict[str, Any]:
    return {name: bar[name] for name in ("time", "open", "high", "low", "close", "trades", "rev")}


_ROLL = """async () => {
  const { Roller } = await import("/static/roll.js");
  const bar = (time, open, close, more) => ({
    time, open, close, high: Math.max(open, close), low: Math.min(open, close), volume: 2,
    trades: 2, vwap: 6, rev: 0, final: true, gap: false, ...more,
  });
  const bars = [
    bar(7200, 4, 9), bar(8100, 9, 1, { final: false }), bar(8100, 9, 1, { rev: 2, gap: true }),
    bar(9900, 6, 7), bar(10800, 7, 7, { final: false }),
  ];
  const roll = (order) => {
    const roller = new Roller(3600);
    roller.load([bar(6300, 1, 1)], false);
    for (const index of order) roller.put(bars[index]);
    return roller;
  };
  const ordered = roll([0, 1, 2, 3, 4]);
  const emptied = roll([0, 1, 2, 3, 4]);
  for (const time of [7200, 8100, 9900]) {
    emptied.put(bar(time, 1, 1, { trades: 0, volume: 0, rev: 3 }));
  }
  emptied.put(bar(7200, 4, 9)); // a message that was overtaken
  return {
    ordered: ordered.bar(7200), shuffled: roll([4, 2, 3, 1, 0]).bar(7200),
    emptied: emptied.bar(7200).trades, isWhole: [ordered.isWhole(3600), ordered.isWhole(7200)],
  };
}"""
