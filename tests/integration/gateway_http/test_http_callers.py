"""What a caller is answered over HTTP: what is theirs, as often as all gateways together allow."""

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from limits.aio.strategies import FixedWindowRateLimiter

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from gateway.access.admission import Access
from gateway.access.entitlement import Entitlement
from gateway.access.grant import Caller
from gateway.access.keyring import KeyRecord, Keyring
from gateway.access.tokens import TokenRules, Tokens, secret_key
from gateway.origins import Origins
from storage.embedded import ValkeyServer
from storage.redis import connect
from storage.shared_counts import SharedCounts
from tests.access import access_of
from tests.clocks import wall_ns
from tests.integration.gateway_http.rig import DAY, Rig, bar, running
from tests.tokens import SECRET, Issuer

HUSH = hashlib.sha256(b"hush").digest()
DESK = "https://desk.example.com"
CALLERS = {
    "full": Caller(key_id="full"),
    "sim": Caller(key_id="sim", symbols=Entitlement(["SIM:*"]), channels=frozenset({"bars"})),
    "three": Caller(key_id="three", requests_per_minute=3),
    "many": Caller(key_id="many", requests_per_minute=100_000),
}


def ring() -> Keyring:
    return Keyring({name: KeyRecord(HUSH, caller) for name, caller in CALLERS.items()})


@asynccontextmanager
async def gateways(
    database_url: str, redis_url: str, namespace: str, *, number: int = 1, **options: Any
) -> AsyncIterator[list[Rig]]:
    """So many gateways that count together."""
    async with AsyncExitStack() as stack:
        rigs = []
        for _ in range(number):
            redis = connect(redis_url, command_timeout_s=0.25)
            stack.push_async_callback(redis.aclose)
            shared = SharedCounts(redis, namespace=namespace, now_s=lambda: wall_ns() / 1e9)
            access: Access = access_of(ring(), shared=FixedWindowRateLimiter(shared), **options)
            rigs.append(
                await stack.enter_async_context(
                    running(
                        database_url=database_url,
                        redis_url=redis_url,
                        namespace=namespace,
                        access=access,
                    )
                )
            )
        yield rigs


@pytest.fixture
async def one(embedded_migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    options = {
        "origins": Origins([DESK]),
        "tokens": Tokens(TokenRules(leeway_s=0), fixed=secret_key(SECRET)),
        "failures_per_minute": 5,
    }
    async with gateways(embedded_migrated_url, redis_url, namespace, **options) as (rig,):
        yield rig


def bearer(name: str, secret: str = "hush") -> dict[str, str]:
    return {"Authorization": f"Bearer {name}:{secret}"}


async def ask(
    rig: Rig, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, Any, Mapping[str, str]]:
    async with rig.session.request(method, rig.base + path, headers=headers) as response:
        body = await response.read()
        is_json = response.content_type == "application/json" and body
        return response.status, await response.json() if is_json else body, response.headers


async def test_a_key_reads_its_symbols_and_no_others(one: Rig) -> None:
    await one.save(bar("SIM:A", 1), bar("X:A", 1), bar("X:B", 1))
    range_ = "start=2021-07-03&end=2021-07-04"

    own = await ask(one, f"/v1/bars?symbols=SIM:A&{range_}", bearer("sim"))
    for path in (
        f"/v1/bars?symbols=SIM:A,X:A&{range_}",
        f"/v1/bars?symbols=B&{range_}",
        f"/v1/bars?symbols=X:NEW&{range_}",
        "/v1/bars/latest?symbols=X:A",
    ):
        status, answer, _ = await ask(one, path, bearer("sim"))
        assert status == answer["code"] == 403
        assert "is not among those that your key may read" in answer["message"]
    listed = await ask(one, "/v1/symbols", bearer("sim"))
    all_of = await ask(one, "/v1/symbols", bearer("full"))
    trades = await ask(one, "/v1/trades/latest?symbols=SIM:A", bearer("sim"))
    metrics = await ask(one, "/metrics", bearer("sim"))
    charts = await ask(
        one, f"/udf/history?symbol=X:A&resolution=1&from={DAY}&to={DAY + 1}", bearer("sim")
    )

    assert own[0] == 200
    assert len(own[1]["bars"]["SIM:A"]) == 1
    assert [each["symbol"] for each in listed[1]["symbols"]] == ["SIM:A"]
    assert len(all_of[1]["symbols"]) == 3
    assert (trades[0], metrics[0]) == (403, 403)
    assert "o" not in charts[1]
    assert Symbol("X:A") in one.market.symbols()


async def test_a_bare_name_means_what_a_key_may_read_and_nothing_is_told_of_others(
    one: Rig,
) -> None:
    await one.save(bar("SIM:A", 1), bar("X:A", 1))
    query = "/v1/bars?symbols=A&start=2021-07-03&end=2021-07-04"

    status, answer, _ = await ask(one, query, bearer("sim"))
    _, unclear, _ = await ask(one, query, bearer("full"))

    assert status == 200
    assert len(answer["bars"]["A"]) == 1
    assert "carried by several venues, say which: SIM:A, X:A" in unclear["message"]


async def test_a_key_without_trades_reads_none_anywhere(one: Rig) -> None:
    one.market.declare({"SIM": True})
    one.market.apply_trade(Tick(Symbol("SIM:A"), 7, 126.55, 100.0, DAY, Side.BUY))

    for path in (
        "/v2/stocks/A/snapshot",
        "/v2/stocks/snapshots?symbols=A",
        "/v1/snapshots?symbols=A",
    ):
        status, answer, _ = await ask(one, path, bearer("sim"))
        assert (status, answer["code"]) == (403, 403), path
    _, listed, _ = await ask(one, "/v1/symbols", bearer("sim"))
    _, all_of, _ = await ask(one, "/v1/symbols", bearer("full"))

    assert [each["last_trade"] for each in listed["symbols"]] == [None]
    assert [each["last_trade"]["i"] for each in all_of["symbols"]] == [7]


async def test_whatever_the_answer_it_tells_what_is_left_of_the_limit(one: Rig) -> None:
    paths = ("/v1/nothing", "/v1/bars?symbols=no%20name", "/v1/bars?symbols=SIM:A&timeframe=x")

    found = [await ask(one, path, bearer("three")) for path in paths]

    assert [status for status, _, _ in found] == [404, 400, 400]
    assert [headers["X-RateLimit-Remaining"] for _, _, headers in found] == ["2", "1", "0"]


async def test_gateways_count_a_keys_requests_together(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    async with gateways(embedded_migrated_url, redis_url, namespace, number=2) as (one, other):
        found = [
            await ask(rig, "/v1/symbols", bearer("three")) for rig in (one, other, one, other, one)
        ]
        free = await ask(one, "/v1/symbols", bearer("full"))

    assert [status for status, _, _ in found] == [200, 200, 200, 429, 429]
    assert [headers["X-RateLimit-Remaining"] for _, _, headers in found] == [
        "2",
        "1",
        "0",
        "0",
        "0",
    ]
    now_s = wall_ns() / 1e9
    for _, _, headers in found:
        assert now_s - 10 < int(headers["X-RateLimit-Reset"]) < now_s + 70
    assert 1 <= int(found[-1][2]["Retry-After"]) <= 60
    assert "X-RateLimit-Limit" not in free[2]


async def test_a_redis_that_is_away_costs_no_answer(
    embedded_migrated_url: str, valkey: ValkeyServer, namespace: str
) -> None:
    async with gateways(embedded_migrated_url, valkey.url, namespace) as (rig,):
        before = await ask(rig, "/v1/symbols", bearer("three"))
        await valkey.kill()
        started_s = time.monotonic()
        during = [await ask(rig, "/v1/symbols", bearer("three")) for _ in range(4)]
        took_s = time.monotonic() - started_s

    assert before[0] == 200
    assert [status for status, _, _ in during] == [200, 200, 200, 429]
    assert took_s < 5


async def test_pages_of_the_settings_may_read_answers_and_errors(one: Rig) -> None:
    asks = {"Origin": DESK, "Access-Control-Request-Method": "GET"}

    preflight = await ask(one, "/v1/symbols", asks, "OPTIONS")
    good = await ask(one, "/v1/symbols", bearer("full") | {"Origin": DESK})
    refused = await ask(one, "/v1/symbols", {"Origin": DESK})
    foreign = await ask(one, "/v1/symbols", bearer("full") | {"Origin": "https://evil.example"})

    assert (preflight[0], good[0], refused[0], foreign[0]) == (204, 200, 401, 200)
    for _, _, headers in (preflight, good, refused):
        assert headers["Access-Control-Allow-Origin"] == DESK
    assert "Authorization" in preflight[2]["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in foreign[2]
    assert "Origin" in foreign[2]["Vary"]


async def test_nothing_that_was_shown_is_written_anywhere(
    one: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    good = issuer.token(wall_ns() / 1e9 + 60, algorithm="HS256", kid=None)
    bad = issuer.token(wall_ns() / 1e9 - 60, algorithm="HS256", kid=None)
    caplog.set_level(logging.DEBUG)

    said = []
    for path in ("/v1/symbols", "/v1/nothing", "/v1/bars?symbols=é", f"/v1/symbols?token={good}"):
        for headers in (
            bearer("full"),
            bearer("full", "wrong-hush"),
            {"APCA-API-KEY-ID": "full", "APCA-API-SECRET-KEY": "wrong-hush"},
            {"Authorization": f"Bearer {good}"},
            {"Authorization": f"Bearer {bad}"},
        ):
            _, answer, _ = await ask(one, path, headers)
            said.append(str(answer))
    said.append(str((await ask(one, "/metrics", bearer("full")))[1]))

    written = "\n".join([*said, *(record.getMessage() for record in caplog.records)])
    for secret in ("hush", good, bad, good.split(".")[2], SECRET):
        assert secret not in written
    assert "failed attempts" in written  # there was something to write about
