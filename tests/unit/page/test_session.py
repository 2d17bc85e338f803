"""What the page asks of the stream, and how it goes on where the gateway refuses something."""

from typing import Any

import pytest

from tests.node import evaluate

# A gateway that permits some channels, and says once what the test wants it to say.
_PRELUDE = """
let permitted = null;
let foreign = [];
let broken = [];
let most = Infinity;
let socket = null;
const asked = [];
globalThis.WebSocket = class {
  readyState = 1;
  set = {};
  constructor() { socket = this; setTimeout(() => this.say({ T: "success", msg: "connected" })); }
  say(message) { this.onmessage({ data: JSON.stringify([message]) }); }
  close() {}
  send(text) {
    const { action, snapshot: _, ...channels } = JSON.parse(text);
    asked.push([action, Object.keys(channels)]);
    setTimeout(() => this.answer(action, channels));
  }
  answer(action, channels) {
    const error = broken.shift();
    if (error) {
      this.say({ T: "error", code: error, msg: "internal error; please try again" });
      this.onclose({ reason: "internal error" });
      return;
    }
    const named = Object.keys(channels);
    const denied = named.filter((name) => permitted && !permitted.includes(name));
    if (action === "subscribe" && denied.length) {
      this.say({ T: "error", code: 409, msg: `not yours: channel ${denied[0]}`, channels: denied });
      return;
    }
    const wanted = new Set(Object.values(channels).flat());
    const refused = [...wanted].filter((symbol) => foreign.includes(symbol));
    if (action === "subscribe" && refused.length) {
      this.say({ T: "error", code: 409, msg: `not yours: ${refused[0]}`, symbols: refused });
      return;
    }
    const had = Object.values(this.set).flat();
    const names = new Set([...had, ...Object.values(channels).flat()]);
    if (action === "subscribe" && names.size > most) {
      this.say({ T: "error", code: 405, msg: `${names.size} symbols are more than ${most}` });
      return;
    }
    for (const [name, symbols] of Object.entries(channels)) {
      const rest = (this.set[name] ?? []).filter((symbol) => !symbols.includes(symbol));
      this.set[name] = action === "subscribe" ? [...rest, ...symbols] : rest;
    }
    this.say({ T: "subscription", ...this.set });
  }
};
const events = {};
const told = [];
for (const name of ["onQuote", "onState", "onBar", "onTrade", "onSaid", "onData"]) {
  events[name] = () => undefined;
}
for (const name of ["onSubscribed", "onRefused", "onNote", "onKeyWanted"]) {
  events[name] = (message) => told.push(name);
}
const client = {};
const known = new store.Store();
const page = new session.Session(
  { client, store: known, url: "ws://x:1", credentials: () => ({}), events });
const until = async (condition) => {
  const end = performance.now() + 10_000;
  while (!condition() && performance.now() < end) await new Promise((then) => setTimeout(then, 5));
};
"""
_MODULES = {"session": "session.js", "store": "store.js", "blame": "blame.js"}
_WATCHED = 'page.watch([{ symbol: "X:A", timeframe: "1Min" }]);'


def _evaluate(script: str) -> Any:
    return evaluate(_PRELUDE + script + "process.exit(0);", **_MODULES)


def test_channels_that_a_key_does_not_permit_cost_the_others_nothing() -> None:
    found = _evaluate(
        f"""
        permitted = ["bars", "runningBars"];
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        const at = {{ T: "r", S: "X:A", o: 1, h: 1, l: 1, c: 7, v: 1, t: "2024-03-12T10:37:00Z" }};
        socket.say(at);
        tell({{ told, agreed: socket.set, price: known.get("X:A")?.price }});
        """
    )

    assert found["told"] == ["onSubscribed"]
    assert found["agreed"] == {"bars": ["X:A"], "runningBars": ["*", "X:A"]}
    assert found["price"] == 7  # the list has prices without any trades


def test_a_key_of_one_channel_shows_what_that_brings() -> None:
    found = _evaluate(
        f"""
        permitted = ["bars"];
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        const before = asked.length;
        page.watch([{{ symbol: "X:B", timeframe: "1Min" }}]);
        await until(() => page.stream.isSubscribed);
        tell({{ told, later: asked.slice(before) }});
        """
    )

    assert found["told"] == ["onSubscribed", "onSubscribed"]
    assert found["later"] == [["unsubscribe", ["bars"]], ["subscribe", ["bars"]]]


def test_charts_are_told_of_the_last_trades_that_were_asked_for() -> None:
    """Else the price above a chart is ahead of its last candle, until another trade comes."""
    found = _evaluate(
        f"""
        for (const symbol of ["X:A", "X:B"]) known.add(symbol);
        client.snapshots = async (symbols) => Object.fromEntries(
          symbols.map((S) => [S, {{ latestTrade: {{ t: "2024-03-12T10:37:00Z", p: 7, s: 2 }} }}]));
        events.onLastTrade = (trade) => told.push(trade);
        {_WATCHED}
        await page.loadSnapshots(["X:A", "X:B", "X:GONE"]);
        tell({{ told, prices: ["X:A", "X:B"].map((symbol) => known.get(symbol).price) }});
        """
    )

    assert found["told"] == [{"S": "X:A", "t": "2024-03-12T10:37:00Z", "p": 7, "s": 2}]
    assert found["prices"] == [7, 7]


def test_what_failed_with_a_connection_is_asked_for_on_the_next_one() -> None:
    found = _evaluate(
        f"""
        broken = [null, 500];
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        tell({{ told, asked }});
        """
    )

    bars = ["subscribe", ["bars", "updatedBars", "runningBars"]]
    trades = ["subscribe", ["trades"]]
    assert found["told"] == ["onNote", "onSubscribed"]
    assert found["asked"] == [trades, bars, trades, bars]


def test_a_chart_too_many_is_gone_without_though_the_error_names_no_symbol() -> None:
    found = _evaluate(
        """
        most = 3; // with the name of every symbol
        const panes = ["A", "B", "C", "D"].map((name) => ({
          symbol: `X:${name}`,
          get watched() {
            return this.isRefused ? null : { symbol: this.symbol, timeframe: "1Min" };
          },
        }));
        const watch = () => page.watch(panes.map((pane) => pane.watched).filter(Boolean));
        events.onRefused = (message) => {
          told.push("onRefused");
          for (const pane of blame.blamed(panes, panes[0])) pane.isRefused = true;
          watch();
        };
        page.start();
        watch();
        await until(() => page.stream.isSubscribed);
        tell({ told, bars: socket.set.bars });
        """
    )

    assert found["told"] == ["onRefused", "onRefused", "onSubscribed"]
    assert found["bars"] == ["X:B", "X:C"]


def test_what_is_refused_without_a_chart_asking_for_it_is_a_note() -> None:
    found = _evaluate(
        f"""
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        socket.say({{ T: "error", code: 406, msg: "connection limit exceeded: 5 per address" }});
        most = 0;
        page.isOverrun = true;
        page.watch([]);
        await until(() => told.length > 2);
        tell(told);
        """
    )

    assert found == ["onSubscribed", "onNote", "onNote"]


def test_an_error_blames_the_charts_whose_symbol_it_names() -> None:
    found = _evaluate(
        """
        const [a, b, c] = ["x:a", "X:A", null].map((symbol) => ({ symbol, watched: symbol }));
        const blamed = (active, refused) => blame.blamed([a, b, c], active, refused).map(
          (pane) => pane.symbol);
        const named = [blamed(b, "x:a"), blamed(a, "X:A")];
        const unnamed = [blamed(a), blamed(c)];
        a.watched = b.watched = null;
        tell([...named, ...unnamed, blamed(a)]);
        """
    )

    assert found == [["x:a"], ["X:A"], ["x:a"], ["X:A"], []]


def test_what_a_key_does_not_permit_is_asked_for_again_on_the_next_connection() -> None:
    found = _evaluate(
        f"""
        permitted = ["trades", "bars"];
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        const before = Object.keys(socket.set);
        permitted = null;
        socket.onclose({{ reason: "restart" }});
        await until(() => page.stream.isSubscribed);
        tell({{ told, before, after: socket.set }});
        """
    )

    assert found["told"] == ["onSubscribed", "onSubscribed"]
    assert found["before"] == ["trades", "bars"]
    one = ["X:A"]
    assert found["after"] == {"trades": ["*"], "bars": one, "updatedBars": one, "runningBars": one}


def test_a_key_that_permits_trades_again_brings_them_for_all_symbols() -> None:
    found = _evaluate(
        f"""
        permitted = ["bars", "runningBars"];
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        const before = page.isLight;
        permitted = null;
        socket.onclose({{ reason: "restart" }});
        await until(() => page.stream.isSubscribed);
        tell({{ before, after: page.isLight, set: socket.set }});
        """
    )

    one = ["X:A"]
    assert (found["before"], found["after"]) == (True, False)
    assert found["set"] == {"trades": ["*"], "bars": one, "updatedBars": one, "runningBars": one}


@pytest.mark.parametrize("fewer", ["channel", "symbol"])
def test_a_key_that_permits_less_after_a_reconnect_costs_no_more_than_that(fewer: str) -> None:
    found = _evaluate(
        f"""
        page.start();
        let charts = ["X:A", "X:B", "X:C"];
        const watch = () => page.watch(charts.map((symbol) => ({{ symbol, timeframe: "1Min" }})));
        events.onRefused = ({{ message, symbols: [refused] }}) => {{
          told.push(message);
          charts = charts.filter((symbol) => symbol !== refused);
          watch();
        }};
        watch();
        await until(() => page.stream.isSubscribed);
        told.length = 0;
        if ("{fewer}" === "channel") permitted = ["bars", "updatedBars", "runningBars"];
        else foreign = ["X:B", "X:C"];
        socket.onclose({{ reason: "restart" }});
        await until(() => page.stream.isSubscribed);
        tell({{ told, light: page.isLight, set: socket.set }});
        """
    )

    one = ["X:A"]
    if fewer == "channel":
        all_ = ["X:A", "X:B", "X:C"]
        bars = {"bars": all_, "updatedBars": all_, "runningBars": [*all_, "*"]}
        assert found == {"told": ["onSubscribed"], "light": True, "set": bars}
    else:
        bars = {"bars": one, "updatedBars": one, "runningBars": one}
        assert found["told"] == ["not yours: X:B", "not yours: X:C", "onSubscribed"]
        assert found["set"] == {"trades": ["*"], **bars}


def test_a_page_of_whose_set_nothing_is_left_asks_for_what_is_shown_next() -> None:
    found = _evaluate(
        f"""
        permitted = ["bars"];
        events.onRefused = ({{ message }}) => {{
          told.push(message);
          page.watch([]);
        }};
        page.start();
        {_WATCHED}
        await until(() => page.stream.isSubscribed);
        foreign = ["X:A"];
        socket.onclose({{ reason: "restart" }});
        await until(() => told.length > 1 && page.stream.isSubscribed);
        page.watch([{{ symbol: "X:B", timeframe: "1Min" }}]);
        await until(() => socket.set.bars && page.stream.isSubscribed);
        tell({{ told, phase: page.stream.state.phase, set: socket.set }});
        """
    )

    assert found["told"] == ["onSubscribed", "not yours: X:A", "onSubscribed", "onSubscribed"]
    assert found["phase"] == "live"
    assert found["set"] == {"bars": ["X:B"]}


def test_a_symbol_that_is_refused_when_its_chart_is_gone_is_no_other_chart_s_fault() -> None:
    found = _evaluate(
        """
        const watch = (...names) => page.watch(
          names.map((symbol) => ({ symbol, timeframe: "1Min" })));
        foreign = ["X:A"];
        page.start();
        watch();
        await until(() => page.stream.isSubscribed);
        watch("X:A", "X:B");
        watch("X:C", "X:B"); // the first answer is not there yet
        await until(() => page.stream.isSubscribed);
        tell({ told, bars: socket.set.bars });
        """
    )

    assert found["told"] == ["onSubscribed", "onSubscribed"]
    assert sorted(found["bars"]) == ["X:B", "X:C"]
