"""The JavaScript module in Node against a real gateway: the same promises as the Python client."""

import asyncio
import base64
import contextlib
import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.service import GatewaySettings
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fix_servers import TcpProxy
from tests.integration.client.guarded import blind, guarded
from tests.integration.gateway.rig import Rig, bar, gateway
from tests.integration.gateway_http import rig as http_rig
from tests.node import PAGE, evaluate, find_node
from tests.tokens import Issuer

MODULE = PAGE / "tickgate.js"
DRIVER = Path(__file__).with_name("driver.mjs")
SOON = {"firstMs": 20, "capMs": 100, "floorMs": 10}
_EXIT_S = 30.0
_REFUSED_S = 20.0  # of a few attempts; one that waits for an answer has ten seconds by itself


@pytest.fixture(scope="module")
def node() -> str:
    return find_node()


class Driven:
    """A Node process with the module in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._passed: list[dict[str, Any]] = []  # what came before an answer that was waited for
        self.states: list[str] = []

    async def event(self, *kinds: str) -> Any:
        """The value of the next event of one of *kinds*; states are noted on the way."""
        while self._passed:
            event = self._passed.pop(0)
            if event["kind"] in kinds:
                return event["value"]
        async with asyncio.timeout(60):
            while (event := await self._next())["kind"] not in kinds:
                pass
        return event["value"]

    async def do(self, name: str, **rest: Any) -> Any:
        """The answer to a command. Events may come first: a trade with what lets it come."""
        self.send(name, **rest)
        async with asyncio.timeout(60):
            while (event := await self._next())["kind"] not in {"answer", "refused"}:
                self._passed.append(event)
        return event["value"]

    async def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "node ended"
        event: dict[str, Any] = json.loads(line)
        if event["kind"] == "state":
            self.states.append(event["value"]["phase"])
        return event

    def send(self, name: str, **rest: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": name, **rest}).encode() + b"\n")

    async def trade_ids(self, count: int) -> list[int]:
        return [(await self.event("trade", "gap", "failed"))["i"] for _ in range(count)]


@asynccontextmanager
async def driven(
    node: str, url: str, *, tokens: Sequence[str] = (), module: Path = MODULE, **options: Any
) -> AsyncIterator[Driven]:
    given = json.dumps({"backoff": SOON, **options})
    command = [node, "--experimental-websocket", "--no-warnings", str(DRIVER), str(module), url]
    process = await asyncio.create_subprocess_exec(
        *(*command, given, *([json.dumps(tokens)] if tokens else [])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Driven(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _EXIT_S)
        if process.returncode is None:
            process.kill()


@pytest.fixture
async def rig(redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    async with gateway(redis_url, namespace) as running:
        yield running


async def test_messages_go_to_the_handlers_of_their_type(node: str, rig: Rig) -> None:
    async with driven(node, rig.url) as js:
        channels = {"trades": ["SIM:A"], "bars": ["*"], "updatedBars": ["SIM:A"]}
        assert await js.do("subscribe", channels=channels) is None
        await rig.trade("SIM:A")
        trade = await js.event("trade")
        await rig.publish_bar(bar("SIM:A"))
        closed = await js.event("bar")
        await rig.publish_bar(bar("SIM:A", rev=1))
        updated = await js.event("updatedBar")

    assert (trade["S"], trade["p"], trade["i"]) == ("SIM:A", 100.5, 1)
    assert (closed["T"], updated["T"], updated["rev"]) == ("b", "u", 1)


async def test_a_gateway_that_is_killed_and_started_again_loses_and_repeats_nothing(
    node: str, redis_url: str, namespace: str, free_port: int
) -> None:
    settings = GatewaySettings(port=free_port)
    async with (
        gateway(redis_url, namespace, settings=settings) as first,
        breakable(first) as (proxy, url),
        driven(node, url) as js,
    ):
        await js.do("subscribe", channels={"trades": ["SIM:A", "SIM:B"]})
        found: list[int] = []
        for _ in range(2):
            await first.trade("SIM:A", "SIM:B")
            found += await js.trade_ids(2)
            await first.trade("SIM:A")
            await proxy.cut()
            await first.trade("SIM:B")
            found += await js.trade_ids(2)
        await proxy.refuse()
        await first.trade("SIM:A")
        async with gateway(redis_url, namespace, settings=GatewaySettings(port=0)) as second:
            second.go_on_from(first)
            proxy._upstream_url = f"tcp://127.0.0.1:{second.service.port}"
            await proxy.heal()
            await second.trade("SIM:B")
            found += await js.trade_ids(2)
            await js.do("close")

    assert sorted(found) == list(range(1, 11))
    assert js.states.count("live") == 4


@asynccontextmanager
async def breakable(rig: Rig) -> AsyncIterator[tuple[TcpProxy, str]]:
    proxy = TcpProxy(f"tcp://127.0.0.1:{rig.service.port}")
    await proxy.heal()
    try:
        yield proxy, f"ws://127.0.0.1:{proxy.port}"
    finally:
        await proxy.refuse()


async def test_a_cursor_goes_on_in_another_life_and_an_unknown_one_is_a_gap(
    node: str, rig: Rig
) -> None:
    async with driven(node, rig.url) as js:
        await js.do("subscribe", channels={"trades": ["SIM:A"]})
        await rig.trade("SIM:A")
        assert await js.trade_ids(1) == [1]
        cursor = await js.do("cursor")
    await rig.trade("SIM:A")
    async with driven(node, rig.url, resume=cursor) as js:
        await js.do("subscribe", channels={"trades": ["SIM:A"]})
        assert await js.trade_ids(1) == [2]
    async with driven(node, rig.url, resume="AQlwMxAB") as js:
        js.send("subscribe", channels={"trades": ["SIM:A"], "bars": ["SIM:A"]})
        gap = await js.event("gap")

    assert (gap["S"], gap["state"], gap["channels"]) == ("SIM:A", "lost", ["trades", "bars"])
    assert gap["from"] is None


async def test_a_silent_way_is_left_and_a_snapshot_may_be_all_that_is_wanted(
    node: str, rig: Rig, eventually: Eventually
) -> None:
    await rig.trade("SIM:A")
    await eventually(rig.has_read_all)
    async with (
        breakable(rig) as (proxy, url),
        driven(node, url, heartbeatMs=100, recover="snapshot") as js,
    ):
        await js.do("subscribe", channels={"trades": ["SIM:A"]}, snapshot=True)
        assert await js.trade_ids(1) == [1]
        proxy.black_hole()
        while (await js.event("state"))["phase"] != "lost":
            pass
        await proxy.heal()

        assert await js.trade_ids(1) == [1]
        assert await js.do("cursor") == ""


async def test_refusals_reject_what_asked_and_a_wrong_key_ends_it_all(
    node: str, rig: Rig, redis_url: str
) -> None:
    async with driven(node, rig.url) as js:
        refused = await js.do("subscribe", channels={"trades": ["::"]})
        await js.do("subscribe", channels={"trades": ["SIM:A", "SIM:B"]})
        await js.do("unsubscribe", channels={"trades": ["SIM:A"]})
        await rig.trade("SIM:A")
        await rig.trade("SIM:B")
        assert await js.trade_ids(1) == [2]
        await js.do("close")
        closed = await js.do("subscribe", channels={"trades": ["SIM:A"]})
    async with guarded(redis_url) as locked:
        async with driven(node, locked.url, key="KEY", secret="wrong") as js:
            failed = await js.event("failed")
        async with driven(node, locked.url, key="KEY", secret="s3cret") as js:
            assert await js.event("ready", "failed") is None

    assert (refused["name"], refused["code"]) == ("Refused", 400)
    assert closed["name"] == "StreamClosed"
    assert (failed["name"], failed["code"]) == ("AuthFailed", 402)


async def test_where_nobody_listens_attempts_follow_each_other_as_they_should(
    node: str, free_port: int
) -> None:
    async with asyncio.timeout(_REFUSED_S):
        async with driven(node, f"ws://127.0.0.1:{free_port}", maxAttempts=5) as js:
            failed = await js.event("failed")

    assert failed["name"] == "Unreachable"
    assert js.states.count("lost") == 10  # each is told of as it is planned, and as it is made


async def test_a_gateway_that_cannot_read_the_keys_of_tokens_yet_is_asked_again(
    node: str, redis_url: str, tmp_path: Path
) -> None:
    issuer, jwks = Issuer(), tmp_path / "jwks.json"
    token = issuer.token(wall_ns() / 1e9 + 60)

    async with blind(redis_url, jwks) as rig, driven(node, rig.url, tokens=[token]) as js:
        problem = await js.event("problem", "failed")
        jwks.write_bytes(issuer.jwks("ES256"))

        assert await js.event("ready", "failed") is None
    assert (problem["name"], problem["code"]) == ("Refused", 500)


async def test_tokens_are_asked_for_and_waits_are_spread(node: str, rig: Rig) -> None:
    now_s = wall_ns() // 1_000_000_000
    claims = base64.urlsafe_b64encode(json.dumps({"exp": now_s + 3600}).encode()).decode()
    token = f"head.{claims.rstrip('=')}.signature"

    async with driven(node, rig.url, tokens=[token]) as js:
        assert await js.event("ready", "failed") is None
        waits = [
            await js.do("pure", call="waitMs", args=[attempt, chance])
            for attempt, chance in ((0, 0), (0, 1), (2, 1), (3, 1), (99, 1))
        ]
        renewal = await js.do("pure", call="renewalMs", args=[token, now_s * 1000])
        never = await js.do("pure", call="renewalMs", args=["KEY:SECRET", 0])

    assert waits == [100, 1000, 4000, 5000, 5000]
    assert (renewal, never) == (3_540_000, None)


async def test_history_comes_page_by_page_and_refusals_in_words(
    node: str, embedded_migrated_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    key = f"KEY:{hashlib.sha256(b's3cret').hexdigest()}"
    async with http_rig.running(
        database_url=embedded_migrated_url, redis_url=redis_url, namespace=namespace, keys=key
    ) as rig:
        await rig.save(*(http_rig.bar("X:A", minute) for minute in range(8)))
        small = copied_with_small_pages(tmp_path)
        options = {"stream": False, "key": "KEY", "secret": "s3cret"}
        async with driven(node, rig.base, module=small, **options) as js:
            span = {"start": "2021-07-03"}
            every = await js.do("ask", call="bars", args=["X:A", "1Min", span])
            some = await js.do("ask", call="bars", args=["a", "1Min", {**span, "limit": 2}])
            newest = {**span, "sort": "desc", "limit": 5}
            first = await js.do("ask", call="barsPage", args=["X:A", "1Min", newest])
            rest = await js.do(
                "ask", call="barsPage", args=["X:A", "1Min", {**newest, "token": first["next"]}]
            )
            latest = await js.do("ask", call="latestBars", args=[["X:A"], "1Min"])
            symbols = await js.do("ask", call="symbols", args=["a"])
            refused = await js.do("ask", call="bars", args=["X:A", "2Weeks"])
        async with driven(node, rig.base, stream=False) as js:
            outside = await js.do("ask", call="status", args=[])

    assert [row["o"] for row in every] == [100.0 + minute for minute in range(8)]
    assert (every[0]["S"], every[0]["tf"], len(some)) == ("X:A", "1Min", 2)
    assert [row["o"] for row in first["bars"] + rest["bars"]] == [107.0 - at for at in range(8)]
    assert (first["bars"][0]["tf"], rest["next"]) == ("1Min", None)
    assert latest["X:A"]["o"] == 107.0
    assert [entry["symbol"] for entry in symbols] == ["X:A"]
    assert (refused["name"], refused["code"]) == ("Refused", 400)
    assert "timeframe" in refused["message"]
    assert (outside["name"], outside["code"]) == ("AuthFailed", 401)


def test_over_plain_http_the_browser_has_nothing_to_add_to_a_request() -> None:
    script = """
      const seen = [];
      const fetch = async (url, init) => (seen.push(init.credentials), new Response("{}"));
      for (const secure of [undefined, true, false]) {
        globalThis.isSecureContext = secure;
        await new module.Client("http://host", { fetch }).get("/v1/symbols");
      }
      tell(seen);
    """

    assert evaluate(script, module="tickgate.js") == ["same-origin", "same-origin", "omit"]


def test_a_time_or_limit_that_cannot_be_meant_is_refused_before_anything_is_asked() -> None:
    found = evaluate(
        """
        const asked = [];
        const fetch = async (url) => {
          asked.push(new URL(url).searchParams.get("start"));
          return new Response('{"bars": {}, "trades": {}}');
        };
        const client = new tickgate.Client("http://127.0.0.1:1", { fetch });
        const words = (error) => `${error.name}: ${error.message}`;
        const said = [];
        for (const span of [
          { start: 1710239820000 }, { end: null }, { start: new Date(NaN) },
          { limit: 0 }, { limit: -1 }, { limit: 1.5 },
        ]) {
          said.push(await client.bars("X:A", "1Min", span).then(() => "", words));
          said.push(await client.barsPage("X:A", "1Min", span).then(() => "", words));
          said.push(await client.trades("X:A", span).then(() => "", words));
        }
        await client.bars("X:A", "1Min", { start: new Date(1710239820000), limit: Infinity });
        await client.trades("X:A", { start: "2024-03-12", limit: 1 });
        tell({ asked, said });
        """,
        tickgate="tickgate.js",
    )

    accepted = "expected RFC 3339 text as 2024-03-12T10:37:00Z, a date as 2024-03-12, or a Date"
    assert found["said"][::3] == found["said"][1::3] == found["said"][2::3]
    assert found["said"][::3] == [
        f"TypeError: start was 1710239820000; {accepted} (of milliseconds: new Date(…))",
        f"TypeError: end was null; {accepted}",
        "RangeError: start is an invalid Date",
        "RangeError: limit: expected 1 or more, was 0",
        "RangeError: limit: expected 1 or more, was -1",
        "TypeError: limit: expected a whole number from 1, was 1.5",
    ]
    assert found["asked"] == ["2024-03-12T10:37:00.000Z", "2024-03-12"]


def copied_with_small_pages(folder: Path) -> Path:
    """The module as somebody copies it, which asks for three rows at a time."""
    shutil.copy(MODULE, folder)
    shutil.copytree(PAGE / "client", folder / "client")
    client = folder / "client" / "client.js"
    text = client.read_text()
    assert "PAGE_ROWS = 10_000" in text
    client.write_text(text.replace("PAGE_ROWS = 10_000", "PAGE_ROWS = 3"))
    return folder / MODULE.name
