"""State, probes and metrics; and what is said while something is away."""

import asyncio
from typing import Any

import pytest

from core.runtime.restarts import Restarts
from gateway.market import FeedNews
from storage.embedded import PostgresServer, ValkeyServer
from storage.migrations import migrate
from storage.roles import FeedStatus, RoleReport
from tests.clocks import wall_ns
from tests.integration.gateway_http.rig import NOON, Rig, bar, running

BTC = "COINBASE:BTC-USD"


def report(role: Any, *, name: str = "host:1", **fields: Any) -> RoleReport:
    now_ms = wall_ns() // 1_000_000
    return RoleReport(role=role, name=name, pid=1, reported_ms=now_ms, started_ms=0, **fields)


async def test_status_shows_feeds_roles_lag_clients_and_the_servers_clock(rig: Rig) -> None:
    feed = FeedStatus(
        feed="coinbase",
        venue="COINBASE",
        state="live",
        since_ms=0,
        newest_event_ns=NOON + 1,
        ticks=5,
        quarantined={"late": 1},
        reconnects=2,
        symbols=1,
    )
    idle = FeedStatus(feed="sim", venue="SIM", state="connecting", since_ms=0)
    await rig.board.publish(report("ingest", feeds=[feed, idle], waiting={"redis": "away"}))
    await rig.board.publish(report("gateway", clients=3, subscribers=2, consumed={"a": 9, "b": 4}))
    await rig.board.publish(report("gateway", name="host:2", clients=1, consumed={"a": 7}))
    await rig.board.publish(report("aggregator", consumed={"a": 6, "b": 5}, version="1.2.3"))
    rig.readiness.up("redis")

    status, answer = await rig.get("/v1/status")

    assert status == 200
    assert (answer["version"], answer["time_ns"]) == ("1.2.3", NOON)
    assert answer["time"] == "2021-07-03T12:00:00Z"
    assert (answer["ready"], answer["clients"], answer["subscribers"]) == (False, 4, 2)
    assert answer["dependencies"]["redis"]["ok"]
    assert answer["dependencies"]["database"]["reason"] == "starting"
    assert answer["aggregator"] == {"lag_blocks": 3, "streams": 2}
    live, connecting = answer["feeds"]
    assert (live["state"], live["ticks"], live["quarantined"]) == ("live", 5, {"late": 1})
    assert live["newest_event"] == "2021-07-03T12:00:00.000000001Z"
    assert connecting["newest_event"] is None
    assert [role["role"] for role in answer["roles"]] == [
        "aggregator",
        "gateway",
        "gateway",
        "ingest",
    ]
    assert answer["roles"][3]["waiting"] == {"redis": "away"}
    assert answer["roles_unknown"] is None


async def test_status_without_an_aggregator_has_no_lag(rig: Rig) -> None:
    _, answer = await rig.get("/v1/status")

    assert answer["aggregator"] is None
    assert answer["feeds"] == answer["roles"] == []


def look(rig: Rig, heard: dict[str, FeedNews], *, after_s: int) -> None:
    venues = {"coinbase": "COINBASE", "sim": "SIM"}
    at_ns = after_s * 1_000_000_000
    rig.silence.look(heard, venues, now_ns=NOON + at_ns, monotonic_ns=at_ns)


async def test_status_tells_which_feeds_are_stale_and_since_when(rig: Rig) -> None:
    coinbase = FeedStatus(feed="coinbase", venue="COINBASE", state="live", since_ms=0, ticks=5)
    await rig.board.publish(report("ingest", feeds=[coinbase]))
    heard = {name: FeedNews(1, NOON - 2_500_000_000, begun=True) for name in ("coinbase", "sim")}
    look(rig, heard, after_s=0)
    heard["sim"].ticks += 1
    look(rig, heard, after_s=30)
    rig.now_ns += 30_000_000_000

    _, answer = await rig.get("/v1/status")

    reported, unreported = answer["feeds"]
    assert (reported["stale"], unreported["stale"]) == (True, False)
    assert reported["last_tick"] == "2021-07-03T12:00:00Z"
    assert reported["newest_event"] == "2021-07-03T11:59:57.500Z"
    assert (reported["age_s"], reported["state"], reported["ticks"]) == (32.5, "live", 5)
    assert (unreported["feed"], unreported["venue"], unreported["state"]) == (
        *("sim", "SIM"),
        "unknown",
    )
    assert answer["heartbeat_s"] == 15


async def test_status_tells_of_a_feed_that_ended_and_of_one_without_a_trade(rig: Rig) -> None:
    look(rig, {"coinbase": FeedNews(3, NOON, begun=True, ended=True), "sim": FeedNews()}, after_s=0)

    _, answer = await rig.get("/v1/status")

    ended, waits = answer["feeds"]
    assert (ended["state"], ended["stale"], ended["age_s"]) == ("ended", False, 0)
    assert (waits["newest_event"], waits["age_s"], waits["last_tick"]) == (None, None, None)


async def test_a_gateway_that_drains_is_not_ready_and_says_why(rig: Rig) -> None:
    for dependency in ("redis", "database"):
        rig.readiness.up(dependency)
    rig.readiness.down("listener", "draining")
    await rig.board.publish(report("gateway", draining=True, loop_lag_ms=1.5))

    status, ready = await rig.get("/readyz")
    _, answer = await rig.get("/v1/status")

    assert (status, ready["ready"], ready["draining"]) == (503, False, True)
    assert ready["dependencies"]["listener"]["reason"] == "draining"
    assert answer["draining"]
    (role,) = answer["roles"]
    assert (role["draining"], role["loop_lag_ms"]) == (True, 1.5)


async def test_ready_says_what_is_waited_for_since_when_and_why(rig: Rig) -> None:
    rig.readiness.up("redis")
    rig.readiness.down("database", "connection refused")
    await rig.board.publish(report("aggregator", waiting={"database": "connection refused"}))

    status, answer = await rig.get("/readyz")

    assert status == 503
    assert answer == {
        "ready": False,
        "draining": False,
        "dependencies": {
            "redis": {"ok": True, "since": "2021-07-03T12:00:00Z", "since_s": 0.0, "reason": ""},
            "database": {
                "ok": False,
                "since": "2021-07-03T12:00:00Z",
                "since_s": 0.0,
                "reason": "connection refused",
            },
        },
        "roles_waiting": [
            {
                "role": "aggregator",
                "name": "host:1",
                "waiting": {"database": "connection refused"},
            }
        ],
        "crash_loops": [],
    }
    rig.readiness.up("database")
    status, answer = await rig.get("/readyz")
    assert (status, answer["ready"]) == (200, True)


async def test_ready_names_the_processes_beside_it_that_keep_crashing(rig: Rig) -> None:
    seconds = 10**9
    rig.restarts += [
        Restarts(
            role="aggregate",
            total=5,
            in_a_row=4,
            crash_loop=True,
            exit="ended with exit code 1",
            since_ns=rig.now_ns - 90 * seconds,
            next_ns=rig.now_ns + 8 * seconds,
        ),
        Restarts(role="ingest", total=1, in_a_row=1),
    ]

    _, answer = await rig.get("/readyz")

    assert answer["crash_loops"] == [
        {
            "role": "aggregate",
            "crashes": 4,
            "since": "2021-07-03T11:58:30Z",
            "since_s": 90.0,
            "reason": "ended with exit code 1",
            "next_start": "2021-07-03T12:00:08Z",
        }
    ]


async def test_the_process_is_alive_whatever_is_away(rig: Rig) -> None:
    assert await rig.get("/livez") == (200, {"alive": True})


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics"),
    ],
)
async def test_metrics_count_requests_by_route_and_status(
    rig: Rig, accept: str, content_type: str
) -> None:
    await rig.get("/v1/bars")
    await rig.get("/v1/symbols")
    await rig.get("/no/such/path")

    async with rig.session.get(rig.base + "/metrics", headers={"Accept": accept}) as response:
        text = await response.text()

    assert response.headers["Content-Type"].startswith(content_type)
    assert response.headers["Cache-Control"] == "no-store"
    assert 'gateway_http_requests_total{route="/v1/bars",status="400"} 1.0' in text
    assert 'gateway_http_requests_total{route="/v1/symbols",status="200"} 1.0' in text
    assert 'gateway_http_requests_total{route="unmatched",status="404"} 1.0' in text
    assert 'gateway_http_request_seconds_count{route="/v1/bars"} 1.0' in text


async def test_while_the_database_is_away_history_is_a_503_and_all_else_goes_on(
    postgres: PostgresServer, redis_url: str, namespace: str, eventually: Any
) -> None:
    await migrate(postgres.url)
    async with running(
        database_url=postgres.url,
        redis_url=redis_url,
        namespace=namespace,
        acquire_timeout_s=0.3,
    ) as rig:
        await rig.save(bar(BTC, 0))
        await postgres.stop()

        async with rig.session.get(rig.base + "/v1/bars?symbols=BTC-USD") as response:
            answer = await response.json()
        assert response.status == answer["code"] == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert "PostgreSQL" in answer["message"]
        assert (await rig.get("/v1/snapshots", symbols="BTC-USD"))[0] == 503
        assert (await rig.get("/v1/symbols"))[0] == 200
        assert (await rig.get("/v1/trades/latest", symbols="BTC-USD"))[0] == 200
        assert (await rig.get("/v1/status"))[0] == 200

        await postgres.start()

        async def answers() -> bool:
            status, answer = await rig.get("/v1/bars", symbols="BTC-USD")
            return status == 200 and len(answer["bars"]["BTC-USD"]) == 1

        await eventually(answers, timeout_s=20)


async def test_while_redis_is_away_status_says_so_and_answers(
    embedded_migrated_url: str, valkey: ValkeyServer, namespace: str
) -> None:
    async with running(
        database_url=embedded_migrated_url, redis_url=valkey.url, namespace=namespace
    ) as rig:
        await valkey.stop()

        status, answer = await rig.get("/v1/status")
        ready, _ = await rig.get("/readyz")

        assert status == 200
        assert "Redis" in answer["roles_unknown"]
        assert ready == 503


async def test_a_request_that_takes_too_long_is_a_504(
    postgres: PostgresServer, redis_url: str, namespace: str
) -> None:
    await migrate(postgres.url)
    async with running(
        database_url=postgres.url, redis_url=redis_url, namespace=namespace, timeout_s=0.3
    ) as rig:
        await rig.save(bar(BTC, 0))
        postgres.pause()
        try:
            status, answer = await rig.get("/v1/bars", symbols="BTC-USD")
        finally:
            postgres.resume()

        assert (status, answer["code"]) == (504, 504)
        assert "0.3 s" in answer["message"]


async def test_a_caller_that_leaves_does_not_spoil_the_answer_of_another(rig: Rig) -> None:
    await rig.save(bar(BTC, 0))

    async def snapshot() -> int:
        status, _ = await rig.get("/v1/bars/latest", symbols="BTC-USD")
        return status

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(snapshot()) for _ in range(20)]
        await asyncio.sleep(0)
        tasks[0].cancel()

    assert [task.result() for task in tasks[1:]] == [200] * 19
