"""Clients that come back with a cursor, on real streams: exactly what they missed, then live."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.market.symbol import Symbol
from gateway.access.tokens import TokenRules, Tokens, secret_key
from gateway.connection import Limits
from gateway.cursor import Cursor, decode_cursor, encode_cursor
from gateway.resume import ResumeLimits
from gateway.service import GatewaySettings
from gateway.silence import Silence
from storage.embedded import ValkeyServer
from storage.entry_id import ZERO_ID, EntryId
from storage.errors import StreamUnavailable
from storage.redis import command
from storage.rows import SymbolRow
from storage.streams import shard_of
from tests.access import access_of
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.gateway.raw import raw_client
from tests.integration.gateway.rig import SHARDS, Client, Rig, bar, gateway
from tests.integration.gateway.visitor import Visitor
from tests.tokens import SECRET, Issuer

A, B = "SIM:S001", "SIM:S002"
OTHER = next(name for name in (f"SIM:S{n:03d}" for n in range(3, 99))
             if shard_of(name, SHARDS) != shard_of(A, SHARDS))  # fmt: skip
SYMBOLS = [f"SIM:S{n:03d}" for n in range(1, 21)]


async def cursor_of(client: Client) -> str:
    """The newest cursor of what is next received."""
    while True:
        for message in reversed(await client.receive()):
            if message["T"] == "cursor":
                return str(message["c"])


@asynccontextmanager
async def traffic(rig: Rig, symbols: Sequence[str]) -> AsyncIterator[dict[str, list[int]]]:
    """Trades without a pause, and their ids by symbol."""
    published: dict[str, list[int]] = {symbol: [] for symbol in symbols}

    ended = asyncio.Event()

    async def trade() -> None:
        while not ended.is_set():
            for tick in await rig.trade(*random.sample(symbols, 5)):
                published[tick.symbol].append(tick.trade_id)
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        group.create_task(trade())
        try:
            yield published
        finally:
            ended.set()


async def test_a_cursor_follows_the_reply_and_ends_each_batch(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A], cursor=True)
        (first,) = await client.receive()
        await rig.trade(A, B, A)
        *trades, last = await client.receive()

    assert first["T"] == last["T"] == "cursor"
    assert first["c"] != last["c"]
    assert [trade["i"] for trade in trades] == [1, 3]


async def test_what_was_missed_comes_once_then_it_goes_on(rig: Rig, eventually: Eventually) -> None:
    visitor = Visitor(trades=[A, "S002"], bars=[A])
    async with visitor.visit(rig):
        await rig.trade(A, B)
        await eventually(lambda: visitor.ids(A) and visitor.ids("S002"))
        await eventually(lambda: visitor.log[-1]["T"] == "cursor")
    await rig.trade(A, B, OTHER)
    await rig.publish_bar(bar(A, open=7.0))
    await rig.publish_bar(bar(OTHER, open=8.0))
    await rig.trade(A)
    async with visitor.visit(rig):
        await eventually(lambda: len(visitor.ids(A)) == 3)
        await rig.trade(A, B)
        await eventually(lambda: len(visitor.ids(A)) == 4)

        assert visitor.reply["trades"] == ["S002", A]
        assert visitor.ids(A) == [1, 3, 6, 7]
        assert visitor.ids("S002") == [2, 4, 8]
        assert visitor.ids(A, "b") == [7.0]
        assert not visitor.gaps
    assert rig.metric("gateway_resumes_total", outcome="complete") == 1
    assert rig.metric("gateway_resuming") == 0


@pytest.mark.slow
async def test_there_is_no_seam_however_often_clients_are_cut(
    rig: Rig, eventually: Eventually
) -> None:
    visitors = [
        Visitor(trades=["*"]),
        Visitor("?encoding=msgpack", trades=SYMBOLS[:7]),
        Visitor(trades=[s.removeprefix("SIM:") for s in SYMBOLS[:3]], interval_ms=0),
        Visitor(trades=[*SYMBOLS[:3], "*"], interval_ms=250),
    ]

    async def come_and_go(visitor: Visitor, *, until: float) -> None:
        while asyncio.get_running_loop().time() < until or len(visitor.log) <= 100:
            async with visitor.visit(rig):
                await asyncio.sleep(random.uniform(0.0, 0.15))
            await asyncio.sleep(random.uniform(0.0, 0.08))

    async with traffic(rig, SYMBOLS) as published:
        until = asyncio.get_running_loop().time() + 3
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for visitor in visitors:
                group.create_task(come_and_go(visitor, until=until))
    for visitor in visitors:
        async with visitor.visit(rig):
            for spelling in {m["S"] for m in visitor.log if m["T"] == "t"}:
                symbol = f"SIM:{spelling.removeprefix('SIM:')}"
                await eventually(
                    lambda v=visitor, s=spelling, p=published[symbol]: v.ids(s)[-1] == p[-1]
                )
                got = visitor.ids(spelling)
                assert got == published[symbol][-len(got) :]
            assert not visitor.gaps
    assert rig.metric("gateway_resumes_total", outcome="complete") > 20


@pytest.mark.slow
async def test_a_new_gateway_goes_on_where_the_old_one_was_and_asks_the_database_once(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    visitors = [Visitor(trades=random.sample(SYMBOLS, 5)) for _ in range(40)]
    asked = 0

    async def load_symbols() -> Sequence[SymbolRow]:
        nonlocal asked
        asked += 1
        return [SymbolRow(Symbol(symbol)) for symbol in SYMBOLS]

    async def come(rig: Rig, visitor: Visitor, upto: dict[str, int]) -> None:
        async with visitor.visit(rig):
            for symbol in visitor.reply["trades"]:
                await eventually(lambda s=symbol: max(visitor.ids(s), default=0) > upto[s])

    async def all_come(rig: Rig, published: dict[str, list[int]]) -> None:
        await eventually(lambda: all(published.values()))
        upto = {symbol: ids[-1] for symbol, ids in published.items()}
        async with asyncio.TaskGroup() as group:
            for visitor in visitors:
                group.create_task(come(rig, visitor, upto))

    async with gateway(redis_url, namespace) as rig, traffic(rig, SYMBOLS) as first:
        await all_come(rig, first)
    async with gateway(redis_url, namespace, load_symbols=load_symbols) as late:
        late.go_on_from(rig)
        async with traffic(late, SYMBOLS) as second:
            await all_come(late, second)
        complete = late.metric("gateway_resumes_total", outcome="complete")

    for visitor in visitors:
        for symbol in visitor.reply["trades"]:
            got, published = visitor.ids(symbol), first[symbol] + second[symbol]
            start = published.index(got[0])
            assert got == published[start : start + len(got)]
        assert not visitor.gaps
    assert (complete, asked) == (len(visitors), 1)


async def test_what_was_trimmed_is_a_gap_that_names_it(rig: Rig, eventually: Eventually) -> None:
    visitor = Visitor(trades=[A, OTHER], bars=[A])
    async with visitor.visit(rig):
        await rig.trade(A, OTHER)
        await eventually(lambda: visitor.ids(A) and visitor.ids(OTHER))
        await eventually(lambda: visitor.log[-1]["T"] == "cursor")
    for _ in range(3):
        await rig.trade(A, OTHER)
    await rig.publish_bar(bar(A))
    await eventually(rig.has_read_all)
    key = rig.keys.ticks("sim", shard_of(A, SHARDS))
    await command(rig.redis, "XTRIM", key, "MAXLEN", "=", 1)
    async with visitor.visit(rig):
        await eventually(lambda: visitor.ids(A, "b"))
        await rig.trade(A, OTHER)
        await eventually(lambda: len(visitor.ids(A)) == 2 and len(visitor.ids(OTHER)) == 5)

        (gap,) = visitor.gaps
        assert visitor.ids(A) == [1, 9]  # nothing is recovered in part
        assert visitor.ids(OTHER) == [2, 4, 6, 8, 10]
    assert (gap["S"], gap["state"], gap["channels"]) == (A, "lost", ["trades"])
    assert gap["from"] < gap["to"]
    assert rig.metric("gateway_resumes_total", outcome="gap") == 1


async def test_a_gap_is_told_in_msgpack_with_times(rig: Rig, eventually: Eventually) -> None:
    visitor = Visitor("?encoding=msgpack", trades=["*"])
    async with visitor.visit(rig):
        await rig.trade(A)
        await eventually(lambda: visitor.ids(A) and visitor.log[-1]["T"] == "cursor")
    for _ in range(2):
        await rig.trade(A)
    await eventually(rig.has_read_all)
    key = rig.keys.ticks("sim", shard_of(A, SHARDS))
    await command(rig.redis, "XTRIM", key, "MAXLEN", "=", 1)
    async with visitor.visit(rig):
        await eventually(lambda: visitor.gaps)

    (gap,) = visitor.gaps
    assert gap["S"] == "*"
    assert gap["from"] < gap["to"]  # msgpack timestamps are decoded as such


async def test_blocks_that_never_came_are_a_gap(rig: Rig, eventually: Eventually) -> None:
    visitor = Visitor(trades=[A])
    async with visitor.visit(rig):
        await rig.trade(A)
        await eventually(lambda: visitor.ids(A) and visitor.log[-1]["T"] == "cursor")
    await rig.skip_blocks(A, 2)
    await eventually(lambda: rig.metric("gateway_missing_blocks_total") == 2)
    async with visitor.visit(rig):
        await eventually(lambda: visitor.gaps)


async def test_mode_latest_gets_the_newest_of_what_it_missed(
    rig: Rig, eventually: Eventually
) -> None:
    visitor = Visitor(trades=[A, B], bars=["*"], mode="latest")
    async with visitor.visit(rig):
        await rig.trade(A, B)
        await eventually(lambda: visitor.ids(A) and visitor.log[-1]["T"] == "cursor")
    for _ in range(4):
        await rig.trade(A)
    await rig.publish_bar(bar(A, open=4.0))
    await rig.publish_bar(bar(A, open=5.0))
    await eventually(lambda: newest_open(rig) == 5.0)
    await eventually(rig.has_read_all)
    async with visitor.visit(rig):
        await eventually(lambda: visitor.ids(A, "b"))
        await rig.trade(B)
        await eventually(lambda: len(visitor.ids(B)) == 2)

        assert visitor.ids(A) == [1, 6]
        assert visitor.ids(A, "b") == [5.0]


async def test_running_bars_are_state(rig: Rig, eventually: Eventually) -> None:
    visitor = Visitor(runningBars=[A], bars=[A])
    async with visitor.visit(rig):
        await eventually(lambda: visitor.cursor)
    await rig.publish_bar(bar(A, open=3.0))
    for open_ in (1.0, 2.0):
        await rig.publish_bar(bar(A, open=open_, start_ns=1_800_000_000_000_000_000, final=False))
    await eventually(lambda: rig.service.market.running_bar(Symbol(A), bar(A).timeframe))
    async with visitor.visit(rig):
        await eventually(lambda: visitor.ids(A, "r"))

        assert [m["T"] for m in visitor.log if m["T"] != "cursor"] == ["b", "r"]
        assert visitor.ids(A, "r") == [2.0]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"resume": "nonsense"}, "garbled"),
        ({"resume": ""}, ""),
        ({"resume": "of another"}, "another installation"),
        ({"resume": "good", "trades": ["BTC USD"]}, "BTC USD"),
    ],
)
async def test_a_request_that_is_refused_changes_nothing(
    rig: Rig, request_: dict[str, Any], words: str
) -> None:
    ids = [ZERO_ID] * SHARDS
    texts = {
        "good": encode_cursor(Cursor({}, ids), rig.keys.namespace),
        "of another": encode_cursor(Cursor({}, ids), "another"),
    }
    request_ = request_ | {"resume": texts.get(request_["resume"], request_["resume"])}
    async with rig.client() as client:
        reply = await client.ask(**{"action": "subscribe", "trades": [A], **request_})
        assert words in reply.get("msg", "")
        assert not words or reply["code"] == 400
        after = await client.ask(action="unsubscribe")

    assert after["trades"] == ([] if words else [A])
    assert rig.metric("gateway_resumes_total", outcome="refused") == bool(words)


async def test_resume_is_for_the_first_subscription(rig: Rig) -> None:
    async with rig.client() as client:
        await client.ask(action="subscribe", trades=[A], cursor=True)
        cursor = await cursor_of(client)
        reply = await client.ask(action="subscribe", trades=[B], resume=cursor)

    assert reply["code"] == 400
    assert "has subscriptions" in reply["msg"]


async def test_requests_during_a_resume_are_done_after_it_in_order(
    redis_url: str, namespace: str, proxied: Any, eventually: Eventually
) -> None:
    limits = GatewaySettings(port=0, limits=Limits(messages_per_s=100))
    proxy = await proxied(redis_url)
    async with (
        gateway(redis_url, namespace) as rig,
        gateway(redis_url, namespace, settings=limits, reader_url=proxy.url) as late,
    ):
        async with rig.client() as client:
            await client.ask(action="subscribe", trades=[A], cursor=True)
            proxy.black_hole()
            await rig.trade(A)
            cursor = await cursor_of(client)
            while decode_cursor(cursor, rig.keys).time_ms == 0:
                cursor = await cursor_of(client)
        async with late.client() as client:
            reply = await client.ask(action="subscribe", trades=[A], resume=cursor)
            assert reply["trades"] == [A]
            for _ in range(21):
                await client.connection.send('{"action":"subscribe","bars":["S009"]}')
            (refused,) = await client.receive()
            assert (refused["code"], "20 requests" in refused["msg"]) == (400, True)
            await rig.trade(A)
            await proxy.heal()
            found = [message for _ in range(21) for message in await client.receive()]

    replies = [message for message in found if message["T"] == "subscription"]
    assert [(each["trades"], each["bars"]) for each in replies] == [([A], ["S009"])] * 20
    assert [message["i"] for message in found if message["T"] == "t"] == [2]  # the first it had


@pytest.mark.parametrize("names", [["*"], ["SIM:A", "X:A"], ["X:A"]])
async def test_rights_that_shrink_during_a_resume_hold_from_there_on(
    redis_url: str, namespace: str, proxied: Any, names: list[str]
) -> None:
    proxy, issuer = await proxied(redis_url), Issuer()
    expires_s = wall_ns() / 1e9 + 3600
    every = issuer.token(expires_s, algorithm="HS256")
    part = issuer.token(
        expires_s, algorithm="HS256", symbols=["SIM:*"], channels=["trades", "quotes"]
    )
    access = access_of(tokens=Tokens(TokenRules(), fixed=secret_key(SECRET)))
    async with (
        gateway(redis_url, namespace) as rig,
        gateway(redis_url, namespace, access=access, reader_url=proxy.url) as late,
    ):
        async with rig.client() as client:
            await client.ask(action="subscribe", trades=["*"], cursor=True)
            proxy.black_hole()
            await rig.trade("SIM:A", "X:A")
            cursor = await cursor_of(client)
            while decode_cursor(cursor, rig.keys).time_ms == 0:
                cursor = await cursor_of(client)
        async with late.client() as client:
            await client.ask(action="auth", key="oauth", secret=every)
            await client.ask(action="subscribe", trades=names, bars=["SIM:A"], resume=cursor)
            await rig.trade("X:A", "SIM:A")
            await client.connection.send('{"action":"subscribe","trades":["X:B"]}')  # held
            told = await client.ask(action="auth", key="oauth", secret=part)
            left = await client.receive()
            await proxy.heal()
            found: list[dict[str, Any]] = []
            while not any(message["T"] == "error" for message in found):
                found += await client.receive()
            await rig.trade("X:A", "SIM:A")
            while names != ["X:A"] and not any(message.get("i") == 6 for message in found):
                found += await client.receive()

    kept = [name for name in names if name != "X:A"]
    assert told == {"T": "success", "msg": "authenticated"}
    assert [(reply["trades"], reply["bars"]) for reply in left] == [(kept, [])]
    trades = [(message["S"], message["i"]) for message in found if message["T"] == "t"]
    assert trades == ([("SIM:A", 4), ("SIM:A", 6)] if kept else [])
    assert [message["code"] for message in found if message["T"] == "error"] == [409]


async def test_a_cursor_of_a_feed_that_nobody_finds_is_a_gap_after_a_while(
    redis_url: str, namespace: str
) -> None:
    async with gateway(redis_url, namespace, settings=patience(wait_s=0.2)) as rig:
        await rig.trade(A)
        ids = [EntryId(2**63, 0)] * SHARDS
        cursor = encode_cursor(Cursor({"lost": ids}, [ZERO_ID] * SHARDS), namespace)
        async with rig.client() as client:
            await client.ask(action="subscribe", trades=[A, "*"], bars=[A], resume=cursor)
            gaps = [(await client.receive())[0] for _ in range(2)]
            await rig.trade(A)
            (trade,) = await client.receive()

    assert sorted((gap["S"], *gap["channels"]) for gap in gaps) == [("*", "trades"), (A, "trades")]
    assert all(gap["from"] == gap["to"] for gap in gaps)  # a time to come is none
    assert trade["i"] == 2


async def test_streams_that_were_written_anew_are_a_gap(
    rig: Rig, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    visitor = Visitor(trades=[A])
    async with visitor.visit(rig):
        await rig.trade(A)
        await eventually(lambda: visitor.ids(A) and visitor.log[-1]["T"] == "cursor")
    await command(rig.redis, "DEL", rig.keys.ticks("sim", shard_of(A, SHARDS)))
    async with gateway(redis_url, namespace) as late, visitor.visit(late):
        await eventually(lambda: visitor.gaps)


async def test_who_does_not_read_holds_up_nobody_and_is_let_go(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    limits = Limits(slow_client_age_ns=3_000_000_000)  # the other one has read all long before
    settings = GatewaySettings(port=0, limits=limits)
    many = [f"SIM:S{n:03d}" for n in range(500)]
    async with gateway(redis_url, namespace, settings=settings) as rig:
        visitor = Visitor(trades=["*"])
        async with visitor.visit(rig):
            await eventually(lambda: visitor.cursor)
        for _ in range(30):
            await rig.trade(*many)
        request = {"action": "subscribe", "trades": ["*"], "resume": visitor.cursor}
        async with raw_client(rig.service.port, receive_bytes=4_096) as stalled:
            await stalled.upgrade()
            await stalled.say(**request)
            async with visitor.visit(rig):
                await eventually(lambda: len(visitor.ids(many[-1])) == 30)
            assert rig.metric("gateway_resuming") == 1
            await eventually(lambda: rig.metric("gateway_closed_clients_total", reason="slow_age"))
        await eventually(lambda: rig.metric("gateway_resumes_total", outcome="left") == 1)

    assert [len(visitor.ids(symbol)) for symbol in many] == [30] * len(many)


async def test_a_resume_waits_for_redis(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    visitor = Visitor(trades=[A])
    async with gateway(valkey.url, namespace) as rig:
        async with visitor.visit(rig):
            await rig.trade(A)
            await eventually(lambda: visitor.ids(A) and visitor.log[-1]["T"] == "cursor")
        await rig.trade(A)
        await eventually(rig.has_read_all)
        await valkey.stop()
        async with visitor.visit(rig):
            assert visitor.reply["trades"] == [A]
            await eventually(lambda: not rig.service.readiness.ready)
            await valkey.start()
            await eventually(lambda: visitor.ids(A) == [1, 2])


async def test_who_is_ahead_of_the_gateway_waits_for_redis_as_well(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    ids = [EntryId(2**41, 0)] * SHARDS
    cursor = encode_cursor(Cursor({"sim": ids}, [ZERO_ID] * SHARDS), namespace)
    settings, silence = patience(wait_s=0.2), Silence(heartbeat_s=0.5)
    async with gateway(valkey.url, namespace, settings=settings, silence=silence) as rig:
        await valkey.stop()
        await eventually(lambda: not rig.service.readiness.ready)
        async with rig.client() as client:
            await client.ask(action="subscribe", trades=[A], resume=cursor)
            kinds = [(await client.receive())[0]["T"] for _ in range(3)]
            assert kinds == ["hb"] * 3  # the connection is well, and nothing else is told
            await valkey.start()
            while (message := (await client.receive())[0])["T"] == "hb":
                pass

    assert (message["T"], message["S"], message["state"]) == ("gap", A, "lost")


async def test_who_subscribes_before_anyone_knows_the_streams_has_a_cursor_once_they_do(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    visitor = Visitor(trades=[A])
    await valkey.stop()
    silence = Silence(heartbeat_s=0)
    async with gateway(valkey.url, namespace, await_streams=False, silence=silence) as rig:
        async with visitor.visit(rig):
            await valkey.start()
            await eventually(lambda: visitor.cursor)
        await rig.trade(A)
        async with visitor.visit(rig):
            await eventually(lambda: visitor.ids(A) == [1])


async def test_a_resume_that_takes_too_long_ends_with_a_gap(
    valkey: ValkeyServer, namespace: str, eventually: Eventually
) -> None:
    visitor = Visitor(trades=[A])
    settings = patience(wait_s=0.1, bound_s=0.4)
    async with gateway(valkey.url, namespace, settings=settings) as rig:
        async with visitor.visit(rig):
            await rig.trade(A)
            await eventually(lambda: visitor.ids(A) and visitor.log[-1]["T"] == "cursor")
        await rig.trade(A)
        await eventually(rig.has_read_all)
        await valkey.stop()
        async with visitor.visit(rig):
            await eventually(lambda: visitor.gaps)
            assert rig.metric("gateway_resumes_total", outcome="timeout") == 1
            await valkey.start()
            await rig.trade(A)
            await eventually(lambda: visitor.ids(A) == [1, 3])


async def test_a_bare_name_waits_for_the_symbols_after_a_restart(
    rig: Rig, redis_url: str, namespace: str, eventually: Eventually
) -> None:
    visitor = Visitor(trades=["S001"])
    known = asyncio.Event()

    async def load_symbols() -> Sequence[SymbolRow]:
        if not known.is_set():
            raise StreamUnavailable("the database", "is away")
        return [SymbolRow(Symbol(name)) for name in ("SIM:S001", "OTHER:S001")]

    await rig.trade(A)
    await eventually(rig.has_read_all)
    async with visitor.visit(rig):
        await rig.trade(A)
        await eventually(lambda: visitor.ids("S001") == [2])
        await eventually(lambda: visitor.log[-1]["T"] == "cursor")
    await rig.trade(A)
    settings = patience(wait_s=0.3)
    async with gateway(redis_url, namespace, load_symbols=load_symbols, settings=settings) as late:
        async with visitor.visit(late):  # the database is away for too long: by the streams
            await eventually(lambda: visitor.ids("S001") == [2, 3])
            await eventually(lambda: visitor.log[-1]["T"] == "cursor")
        known.set()
        await eventually(lambda: late.service.market.complete)
        async with late.client() as client:
            resume = {"resume": visitor.cursor}
            reply = await client.ask(action="subscribe", trades=["S001"], **resume)

    assert reply["code"] == 400
    assert "OTHER:S001" in reply["msg"]


async def test_more_than_so_many_do_not_resume_at_a_time(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, settings=patience(most=0)) as rig:
        cursor = encode_cursor(Cursor({}, [ZERO_ID] * SHARDS), namespace)
        async with rig.client() as client:
            reply = await client.ask(action="subscribe", trades=[A], resume=cursor)

    assert (reply["code"], "try again" in reply["msg"]) == (500, True)


def newest_open(rig: Rig) -> float:
    found = rig.service.market.closed_bar(Symbol(A), bar(A).timeframe)
    return 0.0 if found is None else found.open


def patience(**limits: Any) -> GatewaySettings:
    return GatewaySettings(port=0, resume=ResumeLimits(**limits))
