"""What the page asks of the stream, and how it goes on where the gateway refuses something."""

from typing import Any

from tests.node import evaluate

# A gateway that permits some channels, and says once what the test wants it to say.
_PRELUDE = """
let permitted = null;
let broken = [];
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
    const denied = Object.keys(channels).find((name) => permitted && !permitted.includes(name));
    if (denied) {
      this.say({ T: "error", code: 409, msg: `insufficient subscription: channel ${denied}` });
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
for (const name of ["onSubscribed", "onRefused", "onKeyWanted"]) {
  events[name] = (message) => told.push(name);
}
const known = new store.Store();
const page = new session.Session(
  { client: {}, store: known, url: "ws://x:1", credentials: () => ({}), events });
const until = async (condition) => {
  const end = performance.now() + 10_000;
  while (!condition() && performance.now() < end) await new Promise((then) => setTimeout(then, 5));
};
"""
_MODULES = {"session": "session.js", "store": "store.js"}
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
    assert found["told"] == ["onRefused", "onSubscribed"]
    assert found["asked"] == [trades, bars, trades, bars]
