"""What the page could not read it asks for again, later after each failure."""

from typing import Any

import pytest

from tests.node import evaluate

# A clock that the test moves; `fail` is the status that the gateway answers with, 0: none.
_PRELUDE = """
let nowMs = 0;
performance.now = () => nowMs;
Math.random = () => 0.999;
globalThis.document = { hidden: false };
let fail = 503;
const asked = [];
const answer = async (name, value) => {
  asked.push(name);
  if (fail) throw new tickgate.Refused(fail, "not now");
  return value;
};
const soon = () => new Promise((then) => setTimeout(then));
const seconds = async (count, work) => {
  for (let second = 0; second < count; second += 1) {
    nowMs += 1000;
    work();
    await soon();
  }
};
"""
_MODULES = {"tickgate": "tickgate.js"}


def _evaluate(script: str, **modules: str) -> Any:
    return evaluate(_PRELUDE + script, **_MODULES, **modules)


_DAYS = """
const errors = [];
const lines = new sparks.Sparks({
  bars: (symbols) => answer("lines", [{ S: "X:A", c: 1 }]),
  symbols: async () => ["X:A", "X:B"].map((symbol) => ({ symbol })),
});
const loaded = new days.Days({
  session: {
    stream: { isSubscribed: true }, serverMs: () => 1e12 + nowMs,
    loadSnapshots: (symbols) => answer(symbols.join()),
  },
  sparks: lines, listed: () => ["X:A", "X:B"], charted: () => ["X:A"],
  onLines: () => asked.push("shown"), onError: (error) => errors.push(error.code),
});
const complete = () => loaded.complete();
"""


def test_days_and_lines_that_did_not_come_are_asked_for_again_until_they_do() -> None:
    found = _evaluate(
        _DAYS
        + """
        await seconds(60, complete);
        const failed = asked.splice(0);
        fail = 0;
        await seconds(60, complete);
        const came = asked.splice(0);
        await seconds(60, complete);
        tell({ failed, came, then: asked, errors: [...new Set(errors)] });
        """,
        days="days.js",
        sparks="sparks.js",
    )

    assert 4 <= found["failed"].count("X:A,X:B") == found["failed"].count("lines") <= 8
    assert sorted(found["came"]) == ["X:A,X:B", "lines", "shown"]
    assert found["then"] == []
    assert found["errors"] == [503]


def test_days_and_lines_that_are_refused_wait_for_another_connection() -> None:
    found = _evaluate(
        _DAYS
        + """
        fail = 403;
        await seconds(60, complete);
        const refused = asked.splice(0);
        loaded.forget();
        await seconds(60, complete);
        tell([refused, asked]);
        """,
        days="days.js",
        sparks="sparks.js",
    )

    assert found == [["X:A,X:B", "lines"]] * 2


def test_lines_that_were_asked_for_by_a_clock_hours_ahead_are_asked_for_again() -> None:
    found = _evaluate(
        """
        fail = 0;
        const starts = [];
        const lines = new sparks.Sparks({
          bars: (symbols, timeframe, { start }) => answer(starts.push(start), []),
        });
        const hourMs = 3_600_000;
        for (const serverMs of [20 * hourMs, 8 * hourMs, 8 * hourMs + 1]) {
          await lines.renew(["X:A"], serverMs);
        }
        tell(starts);
        """,
        sparks="sparks.js",
    )

    assert found == ["1970-01-01T12:00:00.000Z", "1970-01-01T00:00:00.000Z"]


def test_another_connection_is_asked_at_once() -> None:
    found = _evaluate(
        _DAYS
        + """
        await seconds(60, complete);
        asked.length = 0;
        loaded.forget();
        await seconds(1, complete);
        tell(asked);
        """,
        days="days.js",
        sparks="sparks.js",
    )

    assert found == ["X:A,X:B", "lines"]


@pytest.mark.parametrize("status", [400, 403, 429, 503, 504])
def test_older_trades_are_given_up_only_where_they_are_refused(status: int) -> None:
    found = _evaluate(
        f"""
        const tape = {{
          symbol: "X:A", room: 200, wanting: {{ fromMs: 0, toMs: 1 }},
          join: () => {{ tape.wanting = null; }},
        }};
        const older = new earlier.Earlier({{ trades: () => answer("trades", []) }}, tape);
        fail = {status};
        await seconds(300, () => older.complete());
        const failed = asked.splice(0).length;
        fail = 0;
        await seconds(61, () => older.complete());
        tell({{ failed, came: asked.length }});
        """,
        earlier="earlier.js",
    )

    if status in {400, 403}:
        assert found == {"failed": 1, "came": 0}
    else:
        assert 6 <= found["failed"] <= 15
        assert found["came"] == 1


def test_a_chart_says_when_bars_are_missing_that_nothing_else_asks_for() -> None:
    found = _evaluate(
        """
        const page = (n) => ({ bars: [{ t: "2024-03-12T10:37:00Z", o: 1, h: 1, l: 1, c: 1, v: n }],
          next: "more" });
        const client = { barsPage: () => answer("bars", page(1)) };
        const said = [];
        const chart = new history.History(client, "X:A", "1Min", {
          onReset: () => said.push("shown"), onBar: () => undefined,
          onError: (error) => said.push(error ? "failed" : "works"),
          onBehind: (error) => said.push(`behind: ${error.code}`),
        });
        await chart.refresh();
        fail = 0;
        await chart.refresh();
        fail = 503;
        await chart.older(); // scrolling there once more asks again
        chart.dispose();
        await chart.refresh();
        tell(said);
        """,
        history="history.js",
    )

    assert found == ["failed", "behind: 503", "works", "shown", "failed"]


def test_an_older_page_is_loaded_once_however_often_it_is_wanted_and_none_after_the_last() -> None:
    found = _evaluate(
        """
        fail = 0;
        const pages = { first: "second", second: "last", last: null };
        const client = { barsPage: async (symbol, timeframe, { token }) => {
          const page = token ?? "first";
          asked.push(page);
          return { bars: [], next: pages[page] };
        } };
        const chart = new history.History(client, "X:A", "1Min", {
          onReset: () => undefined, onBar: () => undefined, onBehind: () => undefined,
          onError: (error) => { if (error) throw error; },
        });
        await chart.refresh();
        for (let moves = 0; moves < 3; moves += 1) { // of a chart tell of themselves twice
          chart.older();
          await chart.older();
          asked.push(chart.hasMore);
        }
        tell(asked);
        """,
        history="history.js",
    )

    assert found == ["first", "second", True, "last", False, False]


@pytest.mark.parametrize("next_page", ["null", '"more"'])
def test_bars_that_lost_their_last_trade_while_the_connection_was_lost_are_gone(
    next_page: str,
) -> None:
    shown = _evaluate(
        """
        fail = 0;
        const bar = (minute, rest = {}) => ({
          t: `2024-03-12T10:${minute}:00Z`, o: 1, h: 1, l: 1, c: 1, v: 1, n: 1, ...rest });
        const minutes = () => chart.bars.map(({ time }) => (time / 60) % 60);
        let kept = [36, 34, 32, 31];
        const client = { barsPage: async () => {
          const page = { bars: kept.map((minute) => bar(minute)), next: """
        + next_page
        + """ };
          if (kept.length < 4) { // what comes live meanwhile is newer than the page
            chart.takeBar({ T: "u", ...bar(34, { rev: 3 }) });
            chart.takeBar({ T: "b", ...bar(37) });
          }
          return page;
        } };
        const chart = new history.History(client, "X:A", "1Min", {
          onReset: () => undefined, onBar: () => undefined,
          onError: (error) => { if (error) throw error; }, onBehind: () => undefined,
        });
        await chart.refresh();
        const before = minutes();
        kept = [36, 31]; // those of 32 and 34 were cancelled; of 34 a late one has come since
        await chart.refresh();
        tell([before, minutes()]);
        """,
        history="history.js",
    )

    assert shown == [[31, 32, 34, 36], [31, 34, 36, 37]]


def test_what_a_key_may_not_read_does_not_keep_the_rest_from_being_asked_for() -> None:
    found = _evaluate(
        """
        const refuse = (code, names) => async (symbols) => {
          asked.push(symbols);
          if (names.some((name) => symbols.includes(name))) throw new tickgate.Refused(code, "no");
          return symbols.length;
        };
        const client = { symbols: async () => [{ symbol: "X:A" }, { symbol: "X:B" }] };
        const ask = (symbols, call) => readable.ofReadable(client, symbols, call).catch(
          (error) => error.code);
        const all = ["X:A", "Y:A", "X:B"];
        tell([
          await ask(all, refuse(403, ["Y:A"])), asked.splice(0),
          await ask(all, refuse(400, ["Y:A"])),
          await ask(["Y:A"], refuse(403, ["Y:A"])),
          await ask(["X:A"], refuse(403, ["X:A"])), asked.length,
        ]);
        """,
        readable="readable.js",
    )

    assert found == [2, [["X:A", "Y:A", "X:B"], ["X:A", "X:B"]], 400, 403, 403, 3]
