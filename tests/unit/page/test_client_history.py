"""The JavaScript client's requests: what it asks, when, and whose errors it passes on."""

import pytest

from tests.node import evaluate


def test_rows_of_many_symbols_are_asked_for_by_name_whatever_the_order_given() -> None:
    found = evaluate(
        """
        const asked = [];
        const fetch = async (url) => {
          const names = new URL(url).searchParams.get("symbols").split(",");
          asked.push(names.length);
          const bars = Object.fromEntries(names.map((name) => [name, [{ o: 1 }]]));
          return new Response(JSON.stringify({ bars, next_page_token: null }));
        };
        const client = new tickgate.Client("http://x:1", { fetch });
        const names = Array.from({ length: 402 }, (_, at) => `X:S${String(at).padStart(3, "0")}`);
        names[7] = names[7].toLowerCase(); // as one may type it
        names[300] = "X:S299/A"; // the gateway has it as X:S299-A
        names[301] = "X:S299-B";
        const given = [...names].reverse();
        given.push(names[0], names[401]); // twice
        const every = await client.bars(given, "1Min");
        const first = await client.bars(given, "1Min", { limit: 200 });
        tell({ asked, every: every.map((bar) => bar.S), first: first.map((bar) => bar.S), names });
        """,
        tickgate="tickgate.js",
    )

    assert found["every"] == found["names"]
    assert found["first"] == found["names"][:200]
    assert found["asked"] == [200, 200, 2, 200]


@pytest.mark.parametrize("when", ["before", "during"])
def test_an_abort_ends_the_wait_before_a_request_is_repeated(when: str) -> None:
    found = evaluate(
        f"""
        const controller = new AbortController();
        let asked = 0;
        const fetch = async () => {{
          asked += 1;
          if ("{when}" === "before") controller.abort(new Error("enough"));
          else setTimeout(() => controller.abort(new Error("enough")), 5);
          return new Response("{{}}", {{ status: 429, headers: {{ "Retry-After": "60" }} }});
        }};
        const client = new tickgate.Client("http://x:1", {{ fetch }});
        const started = performance.now();
        const asking = client.get("/v1/bars", {{}}, controller.signal);
        const said = await asking.catch((error) => error.message);
        tell({{ asked, said, isSoon: performance.now() - started < 10_000 }});
        """,
        tickgate="tickgate.js",
    )

    assert found == {"asked": 1, "said": "enough", "isSoon": True}


def test_a_wait_that_nobody_aborts_ends_with_another_request() -> None:
    found = evaluate(
        """
        const { signal } = new AbortController();
        const answers = [new Response("{}", { status: 503, headers: { "Retry-After": "0" } }),
          new Response('{"it": "works"}')];
        const client = new tickgate.Client("http://x:1", { fetch: async () => answers.shift() });
        tell(await client.get("/v1/bars", {}, signal));
        """,
        tickgate="tickgate.js",
    )

    assert found == {"it": "works"}


def test_what_the_function_that_gets_tokens_throws_comes_to_the_caller_at_once() -> None:
    found = evaluate(
        """
        let asked = 0;
        const token = () => { asked += 1; throw new RangeError("no more tokens"); };
        const fetch = async () => { throw new Error("not to be asked"); };
        const client = new tickgate.Client("http://x:1", { token, fetch });
        const said = await client.status().catch((error) => `${error.name}: ${error.message}`);
        tell({ asked, said });
        """,
        tickgate="tickgate.js",
    )

    assert found == {"asked": 1, "said": "RangeError: no more tokens"}


def test_symbols_that_are_no_text_are_told_before_anything_is_asked() -> None:
    found = evaluate(
        """
        const client = new tickgate.Client("http://x:1", { fetch: () => tell("asked") });
        const words = [];
        for (const symbols of [undefined, null, 5, ["A", 5]]) {
          const history = [client.bars(symbols, "1Min"), client.barsPage(symbols)];
          for (const call of [...history, client.snapshots(symbols)]) {
            await call.catch((error) => words.push(`${error}`));
          }
        }
        tell(words);
        """,
        tickgate="tickgate.js",
    )

    expected = [("undefined",) * 3, ("null",) * 3, ("5",) * 6]
    assert found == [
        f"TypeError: symbols: expected symbols as text, was {value}"
        for values in expected
        for value in values
    ]


def test_a_secret_that_no_header_can_carry_is_no_lost_connection_and_not_told() -> None:
    found = evaluate(
        """
        const told = [];
        for (const access of [
          { key: "hidden\\n", secret: "s" },
          { key: "id", secret: "hidden€" },
          { token: "hidden\\r" },
        ]) {
          const client = new tickgate.Client("http://127.0.0.1:1", access);
          await client.status().catch((error) => told.push([error.name, error.message]));
        }
        tell(told);
        """,
        tickgate="tickgate.js",
    )

    assert [name for name, _ in found] == ["AuthFailed"] * 3
    assert [words.split(":")[0] for _, words in found] == ["key", "secret", "token"]
    assert "hidden" not in str(found)
