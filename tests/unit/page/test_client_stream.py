"""The JavaScript client's stream, on a socket that says what a test wants."""

from tests.node import evaluate

_SOCKET = """
class FakeSocket {
  readyState = 1;
  sent = [];
  constructor() { FakeSocket.last = this; }
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = 3; }
  say(message) { this.onmessage({ data: JSON.stringify([message]) }); }
}
const soon = () => new Promise((resolve) => setTimeout(resolve, 5));
"""


def test_a_stream_that_is_closed_while_it_waits_for_a_token_asks_for_no_other() -> None:
    asked = evaluate(
        _SOCKET
        + """
        const later = globalThis.setTimeout;
        let timers = 0;
        globalThis.setTimeout = (call, ms) => { timers += ms > 60_000; return later(call, ms); };
        const claims = btoa(JSON.stringify({ exp: Date.now() / 1000 + 3600 }));
        let give;
        const token = () => new Promise((resolve) => { give = resolve; });
        const stream = tickgate.connect("ws://x:1", { token, WebSocket: FakeSocket });
        FakeSocket.last.say({ T: "success", msg: "connected" });
        stream.close();
        give(`head.${claims}.signature`);
        await soon();
        tell(timers);
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert asked == 0


def test_a_set_that_nobody_asked_for_is_not_taken_for_the_answer_to_a_request() -> None:
    found = evaluate(
        _SOCKET
        + """
        const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket });
        const socket = FakeSocket.last;
        const said = [];
        const ask = (name, channels) => stream[name](channels).then(
          () => said.push(`${name} done`), (error) => said.push(`${name} ${error.code}`));
        const set = (trades) => ({ T: "subscription", trades, bars: [], corrections: trades });
        socket.say({ T: "success", msg: "connected" });
        await soon();
        ask("subscribe", { trades: ["A", "B"] });
        socket.say(set(["A", "B"]));
        ask("subscribe", { trades: ["C"] });
        socket.say(set(["A"])); // the right to read B has ended
        await soon();
        said.push("shrunk");
        socket.say({ T: "error", code: 409, msg: "symbol 'C' is not among those" });
        await soon();
        ask("unsubscribe", { trades: ["A"] });
        socket.say(set(["A"]));
        await soon();
        said.push("told again");
        socket.say(set([]));
        await soon();
        ask("subscribe", { symbols: ["D"] }); // short for two channels, which are in the answer
        socket.say({ ...set(["D"]), bars: ["D"] });
        await soon();
        tell({ said, agreed: stream.subscriptions });
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert found["said"] == [
        "subscribe done",
        "shrunk",
        "subscribe 409",
        "told again",
        "unsubscribe done",
        "subscribe done",
    ]
    assert found["agreed"] == {"trades": ["D"], "bars": ["D"]}


def test_a_greeting_is_no_answer_to_a_request_for_symbols() -> None:
    said = evaluate(
        _SOCKET
        + """
        const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket });
        const socket = FakeSocket.last;
        const said = [];
        socket.say({ T: "success", msg: "connected" });
        await soon();
        stream.subscribe({ trades: ["A"] }).then(() => said.push("done"));
        socket.say({ T: "success", msg: "authenticated" });
        await soon();
        said.push(socket.sent.length);
        socket.say({ T: "subscription", trades: ["A"] });
        await soon();
        tell(said);
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert said == [1, "done"]


def test_a_renewal_of_a_token_is_answered_by_no_set() -> None:
    answers = evaluate(
        """
        const request = { action: "auth", key: "oauth", secret: "TOKEN" };
        const sent = { request, channels: {} };
        tell([{}, { trades: ["A"] }].map((set) => requests.isAnswer(set, sent)));
        """,
        requests="client/requests.js",
    )

    assert answers == [False, False]


_RESTORED = """
const problems = [];
const options = { WebSocket: FakeSocket, backoff: { firstMs: 1, capMs: 1, floorMs: 0 } };
const stream = tickgate.connect("ws://x:1", options);
stream.on("problem", (error) => problems.push([error.code, error.symbols, error.channels]));
const greet = async () => {
  FakeSocket.last.say({ T: "success", msg: "connected" });
  await soon();
};
const refuse = async (code, msg, names = {}) => {
  FakeSocket.last.say({ T: "error", code, msg, ...names });
  await soon();
};
const lose = async () => {
  FakeSocket.last.onclose({ reason: "gone" });
  await soon();
  await greet();
};
await greet();
stream.subscribe({ trades: ["A", "B", "C"], bars: ["B"] });
FakeSocket.last.say({ T: "subscription", trades: ["A", "B", "C"], bars: ["B"] });
FakeSocket.last.say({ T: "cursor", c: "c1" });
await lose();
"""


def test_what_is_refused_when_the_set_is_restored_costs_the_rest_neither_place_nor_trade() -> None:
    found = evaluate(
        _SOCKET
        + _RESTORED
        + """
        await refuse(400, "symbol 'B': carried by several venues", { symbols: ["B", "C"] });
        const last = FakeSocket.last.sent.at(-1);
        stream.on("problem", () => stream.subscribe({ trades: ["D"] }).catch(
          (error) => problems.push(error.name)));
        await refuse(409, "insufficient subscription: channel trades", { channels: ["trades"] });
        tell({ last, problems, state: stream.state });
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert found["last"] == {
        "action": "subscribe",
        "trades": ["A"],
        "cursor": True,
        "resume": "c1",
    }
    assert found["problems"] == [
        [400, ["B", "C"], []],
        [409, [], ["trades"]],
        "StreamClosed",
    ]
    assert found["state"]["phase"] == "closed"  # nothing is left
    assert found["state"]["reason"].endswith("channel trades")


_RIGHTS = (
    _SOCKET
    + """
const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket });
const socket = FakeSocket.last;
const said = [];
stream.on("problem", (error) => said.push([error.code, error.symbols, error.channels]));
stream.on("state", ({ phase }) => said.push(phase));
const set = (channels) => {
  socket.say({ T: "subscription", trades: [], bars: [], ...channels });
  return soon();
};
socket.say({ T: "success", msg: "connected" });
await soon();
const all = { trades: ["A", "B"], bars: ["A", "B"], updatedBars: ["B"] };
stream.subscribe(all);
await set(all);
"""
)


def test_rights_that_end_are_a_problem_and_the_last_of_them_ends_the_stream() -> None:
    said = evaluate(
        _RIGHTS
        + """
        await set({ trades: ["A"] });
        await set({});
        tell(said);
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert said == ["live", [409, ["B"], ["bars"]], [409, ["A"], []], "closed"]


def test_what_is_taken_off_has_not_ended_with_a_right() -> None:
    said = evaluate(
        _RIGHTS
        + """
        stream.unsubscribe({ updatedBars: ["B"] });
        await set({ trades: ["A", "B"], bars: ["A", "B"] });
        stream.unsubscribe({ symbols: ["A"] }); // short for two channels
        await set({ trades: ["B"], bars: ["B"] });
        stream.unsubscribe({ trades: ["B"], bars: ["B"] });
        await set({});
        tell(said);
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert said == ["live"]


def test_who_asks_for_nothing_yet_is_not_taken_for_a_dead_connection() -> None:
    waits = evaluate(
        _SOCKET
        + """
        const timers = new Map();
        const [later, never] = [globalThis.setTimeout, globalThis.clearTimeout];
        globalThis.setTimeout = (call, ms) => {
          const timer = later(call, ms);
          timers.set(timer, ms);
          return timer;
        };
        globalThis.clearTimeout = (timer) => { timers.delete(timer); never(timer); };
        const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket });
        const waits = () => [...timers.values()].filter((ms) => ms > 1000);
        const before = waits();
        FakeSocket.last.say({ T: "success", msg: "connected" });
        await soon();
        tell([before, stream.state.phase, waits()]);
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert waits == [[10_000], "live", []]


def test_a_set_that_cannot_be_restored_just_now_is_asked_for_on_the_next_connection() -> None:
    found = evaluate(
        _SOCKET
        + _RESTORED
        + """
        const [first] = FakeSocket.last.sent;
        await refuse(500, "internal error; please try again");
        await refuse(500, "internal error; please try again");
        const lost = stream.state;
        await soon();
        await greet();
        tell({ lost, again: FakeSocket.last.sent, first });
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert found["lost"]["reason"] == "internal error; please try again"
    assert found["again"] == [found["first"]]


def test_a_handler_that_throws_is_reported_and_costs_the_others_nothing() -> None:
    found = evaluate(
        _SOCKET
        + """
        const [reported, came] = [[], []];
        process.on("uncaughtException", (error) => reported.push(error.message));
        const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket, recover: "snapshot" });
        const socket = FakeSocket.last;
        for (const kind of ["trade", "state"]) {
          stream.on(kind, () => { throw new Error(kind); });
        }
        stream.on("trade", (trade) => came.push(trade.i));
        socket.say({ T: "success", msg: "connected" });
        await soon();
        socket.onmessage({ data: JSON.stringify([{ T: "t", i: 1 }, { T: "t", i: 2 }]) });
        await soon();
        tell({ reported, came, phase: stream.state.phase });
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert found["reported"] == ["state", "trade", "trade"]
    assert found["came"] == [1, 2]
    assert found["phase"] == "live"


def test_one_symbol_may_be_named_or_several_of_any_kind_of_list() -> None:
    found = evaluate(
        _SOCKET
        + """
        const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket });
        FakeSocket.last.say({ T: "success", msg: "connected" });
        await soon();
        const wrong = await stream.subscribe({ trades: null }).catch((error) => error.name);
        stream.subscribe({ trades: "A", bars: new Set(["A", "B"]) });
        const [{ trades, bars }] = FakeSocket.last.sent;
        tell({ wrong, trades, bars });
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert found == {"wrong": "TypeError", "trades": ["A"], "bars": ["A", "B"]}


def test_a_clock_that_is_hours_wrong_does_not_make_a_token_due_at_once_or_never() -> None:
    waits = evaluate(
        """
        const token = (claims) => `head.${btoa(JSON.stringify(claims))}.signature`;
        const wait = (claims, nowS) => tickgate.renewalMs(token(claims), nowS * 1000);
        const dated = { iat: 1000, exp: 4600 };
        tell([
          wait({ exp: 4600 }, 1000), wait({ exp: 900 }, 1000), wait({ iat: 1000 }, 1000),
          wait({ exp: 4600, iat: "then" }, 1000), wait(dated, 1500),
          ...[1000 - 7200, 999, 4601, 1000 + 7200].map((nowS) => wait(dated, nowS)),
        ]);
        """,
        tickgate="tickgate.js",
    )

    assert waits == [3_540_000, 1000, None, 3_540_000, 3_040_000, *[3_540_000] * 4]


def test_what_is_asked_for_as_all_was_agreed_to_is_agreed_to_again() -> None:
    settled = evaluate(
        _SOCKET
        + """
        const settled = [];
        const stream = tickgate.connect("ws://x:1", { WebSocket: FakeSocket });
        stream.on("settled", (set) => {
          settled.push(set);
          if (settled.length === 1) stream.subscribe({ trades: "A" });
        });
        const socket = FakeSocket.last;
        socket.say({ T: "success", msg: "connected" });
        await soon();
        socket.say({ T: "subscription", trades: ["A"] });
        tell(settled);
        process.exit(0);
        """,
        tickgate="tickgate.js",
    )

    assert settled == [{}, {"trades": ["A"]}]
