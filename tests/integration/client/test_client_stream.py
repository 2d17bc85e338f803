"""The client's stream against a real gateway: cut, killed, silent, slow, refused."""

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from gateway.keys import ApiKeys
from gateway.service import GatewaySettings
from gateway.silence import Silence
from tests.access import access_of
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.fix_servers import TcpProxy
from tests.integration.client.guarded import blind, guarded
from tests.integration.gateway.rig import START_NS, Rig, bar, gateway
from tests.tokens import Issuer
from tickgate.client import (
    AuthFailed,
    Backoff,
    Bar,
    Gap,
    Heartbeat,
    Message,
    Refused,
    RunningBar,
    Shutdown,
    State,
    Stream,
    StreamClosed,
    SymbolRefused,
    Trade,
    Unreachable,
    UpdatedBar,
    connect,
)
from tickgate.client import stream as stream_module
from tickgate.client.address import Credentials
from tickgate.client.http import Requests

SOON = Backoff(first_s=0.02, cap_s=0.1, floor_s=0.01)


@pytest.fixture
async def rig(redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    async with gateway(redis_url, namespace) as running:
        yield running


@asynccontextmanager
async def breakable(rig: Rig) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A way to the gateway that can break, and its address."""
    proxy = TcpProxy(f"tcp://127.0.0.1:{rig.service.port}")
    await proxy.heal()
    try:
        yield proxy, f"ws://127.0.0.1:{proxy.port}"
    finally:
        await proxy.refuse()


async def take(stream: Stream, count: int) -> list[Message]:
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


async def trade_ids(stream: Stream, count: int) -> list[int | None]:
    messages = await take(stream, count)
    assert all(isinstance(message, Trade) for message in messages), messages
    return [message.id for message in messages if isinstance(message, Trade)]


async def only_trades(stream: Stream, count: int) -> AsyncIterator[Trade]:
    async for message in stream:
        if isinstance(message, Trade):
            yield message
            count -= 1
        if not count:
            return


@pytest.mark.parametrize("encoding", ["msgpack", "json"])
async def test_messages_are_typed_and_carry_the_spelling_of_the_request(
    rig: Rig, encoding: str
) -> None:
    async with connect(rig.url, encoding=encoding) as stream:  # type: ignore[arg-type]
        await stream.subscribe(
            trades="sim/a", bars=["SIM:A"], updated_bars="SIM:A", running_bars_5min=["*"]
        )
        await rig.trade("SIM:SIM-A", "SIM:A")
        (trade,) = await take(stream, 1)
        for published in (bar("SIM:A"), bar("SIM:A", rev=1), bar("SIM:A", minutes=5, final=False)):
            await rig.publish_bar(published)
        found = {type(message): message for message in await take(stream, 3)}

    values = (START_NS // 60_000_000_000 * 60_000_000_000, 1.0, 3.0, 0.5, 2.0, 4.0, 5, 1.5)
    five = START_NS // 300_000_000_000 * 300_000_000_000
    assert trade == Trade("sim/a", 100.5, 2.0, START_NS + 1_000_000, 1, "B")
    assert found == {
        Bar: Bar("SIM:A", "1Min", *values),
        UpdatedBar: UpdatedBar("SIM:A", "1Min", *values, rev=1),
        RunningBar: RunningBar("SIM:A", "5Min", five, *values[1:], final=False),
    }


async def test_a_snapshot_comes_first_where_it_is_asked_for(
    rig: Rig, eventually: Eventually
) -> None:
    await rig.trade("SIM:A")
    await eventually(rig.has_read_all)

    async with connect(rig.url) as stream:
        await stream.subscribe(trades="SIM:A", snapshot=True)
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 2) == [1, 2]


async def test_after_cuts_nothing_is_missing_and_nothing_comes_twice(rig: Rig) -> None:
    states: list[State] = []
    async with (
        breakable(rig) as (proxy, url),
        connect(url, backoff=SOON, on_state=states.append) as stream,
    ):
        await stream.subscribe(trades=["SIM:A", "SIM:B"], bars="*")
        found: list[int | None] = []
        for _ in range(5):
            await rig.trade("SIM:A", "SIM:B")
            found += await trade_ids(stream, 2)
            await rig.trade("SIM:A")
            await proxy.cut()
            await rig.trade("SIM:B")
            found += await trade_ids(stream, 2)

    assert sorted(map(int, filter(None, found))) == list(range(1, 21))
    assert [state.phase for state in states] == ["live", *["lost", "live"] * 5, "closed"]


async def test_a_gateway_that_goes_down_and_another_that_comes_lose_nothing(
    redis_url: str, namespace: str, free_port: int
) -> None:
    settings = GatewaySettings(port=free_port)
    async with gateway(redis_url, namespace, settings=settings) as first:
        opening = connect(first.url, backoff=SOON)
        stream = await opening.__aenter__()
        await stream.subscribe(trades="SIM:A")
        await first.trade("SIM:A")
        assert await trade_ids(stream, 1) == [1]
        await first.trade("SIM:A")
    async with gateway(redis_url, namespace, settings=settings) as second:
        second.go_on_from(first)
        await second.trade("SIM:A")
        found = await take(stream, 3)
        await opening.__aexit__(None, None, None)

    assert [message.id for message in found if isinstance(message, Trade)] == [2, 3]
    assert [message for message in found if isinstance(message, Shutdown)] != []


async def test_a_stored_cursor_goes_on_in_another_process_s_life(rig: Rig) -> None:
    async with connect(rig.url) as stream:
        await stream.subscribe(trades="SIM:A")
        await rig.trade("SIM:A")
        await take(stream, 1)
        stored = stream.cursor
    await rig.trade("SIM:A")

    async with connect(rig.url, resume=stored) as stream:
        assert stream.cursor == stored
        await stream.subscribe(trades="SIM:A")
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 2) == [2, 3]


async def test_a_cursor_that_the_gateway_does_not_know_is_told_as_a_gap(rig: Rig) -> None:
    told: list[Gap] = []

    async def on_gap(gap: Gap) -> None:
        told.append(gap)

    async with connect(rig.url, resume="AQlwMxAB", on_gap=on_gap) as stream:
        await stream.subscribe(trades=["SIM:A", "SIM:B"], bars="SIM:A")
        await rig.trade("SIM:A")
        found = await take(stream, 3)

    assert [(gap.symbol, gap.state, gap.channels) for gap in told] == [
        ("SIM:A", "lost", ("trades", "bars")),
        ("SIM:B", "lost", ("trades",)),
    ]
    assert found[:2] == told
    assert isinstance(found[2], Trade)


async def test_a_gap_callback_may_be_a_plain_function(rig: Rig) -> None:
    told: list[Gap] = []
    async with connect(rig.url, resume="AQlwMxAB", on_gap=told.append) as stream:
        await stream.subscribe(trades="SIM:A")

        assert await take(stream, 1) == told


async def test_a_way_that_goes_silent_is_left_for_a_new_one(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    states: list[State] = []
    async with (
        gateway(redis_url, namespace, silence=Silence(heartbeat_s=0.2)) as rig,
        breakable(rig) as (proxy, url),
        connect(url, backoff=SOON, heartbeat_s=0.2, on_state=states.append) as stream,
    ):
        await stream.subscribe(trades="SIM:A")
        assert isinstance((await take(stream, 1))[0], Heartbeat)
        proxy.black_hole()
        await eventually(lambda: states[-1].phase == "lost")
        await proxy.heal()
        await rig.trade("SIM:A")
        async with asyncio.timeout(10):
            assert [message.id async for message in only_trades(stream, 1)] == [1]

    assert "nothing was heard for 0.5 s" in {state.reason for state in states}


async def test_a_request_on_a_way_that_is_dead_is_made_again_on_a_new_one(
    rig: Rig, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "_ANSWER_S", 0.5)
    states: list[State] = []
    async with (
        breakable(rig) as (proxy, url),
        connect(url, backoff=SOON, on_state=states.append) as stream,
        asyncio.TaskGroup() as group,
    ):
        await asyncio.sleep(0.7)  # longer than an answer may take: nobody has asked for one
        proxy.black_hole()
        asked = group.create_task(stream.subscribe(trades="SIM:A"), name="subscribe")
        await eventually(lambda: states[-1].phase == "lost")
        await proxy.heal()
        async with asyncio.timeout(10):
            await asked
        assert stream.subscriptions == {"trades": ("SIM:A",)}

    assert states[1].reason == "nothing was heard for 0.5 s"


async def test_a_symbol_that_is_refused_raises_where_it_was_asked_for(rig: Rig) -> None:
    async with connect(rig.url) as stream:
        await stream.subscribe(trades="SIM:A")
        with pytest.raises(SymbolRefused, match="'::'"):
            await stream.subscribe(trades=["SIM:B", "::"])
        await rig.trade("SIM:B")
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 1) == [2]


async def test_unsubscribing_takes_effect_before_it_returns(rig: Rig) -> None:
    async with connect(rig.url) as stream:
        await stream.subscribe(trades=["SIM:A", "SIM:B"])
        await stream.subscribe()
        await stream.unsubscribe(trades="SIM:A")
        await rig.trade("SIM:A")
        await rig.trade("SIM:B")

        assert await trade_ids(stream, 1) == [2]


async def test_many_changes_in_a_row_stay_below_the_gateway_s_limit(rig: Rig) -> None:
    states: list[State] = []
    async with connect(rig.url, on_state=states.append) as stream:
        for number in range(12):
            await stream.subscribe(trades=f"SIM:A{number}")

    assert [state.phase for state in states] == ["live", "closed"]


async def test_a_reader_that_is_behind_gets_everything_in_order(
    rig: Rig, eventually: Eventually
) -> None:
    async with connect(rig.url, max_queued=10, interval_ms=0) as stream:
        await stream.subscribe(trades="SIM:A")
        for _ in range(100):
            await rig.trade("SIM:A")
        await eventually(lambda: stream.queued >= 10)

        assert await trade_ids(stream, 100) == list(range(1, 101))


async def test_a_change_is_answered_while_nobody_reads(rig: Rig, eventually: Eventually) -> None:
    async with connect(rig.url, max_queued=1) as stream:
        await stream.subscribe(trades="SIM:A")
        for _ in range(5):
            await rig.trade("SIM:A")
        await eventually(lambda: stream.queued >= 1)

        async with asyncio.timeout(5):
            await stream.subscribe(trades="SIM:B")

        assert await trade_ids(stream, 5) == [1, 2, 3, 4, 5]


async def test_a_wrong_key_ends_at_once_and_is_not_tried_again(redis_url: str) -> None:
    async with guarded(redis_url) as rig:
        with pytest.raises(AuthFailed, match="auth failed"):
            async with connect(rig.url, key="KEY", secret="wrong"):
                pass
        async with connect(rig.url) as stream:
            with pytest.raises(AuthFailed, match="not authenticated"):
                await stream.subscribe(trades="SIM:A")
            with pytest.raises(AuthFailed):
                await anext(stream)
        async with connect(rig.url, key="KEY", secret="s3cret") as stream:
            await stream.subscribe(trades="SIM:A")


async def test_a_gateway_that_cannot_read_the_keys_of_tokens_yet_is_asked_again(
    redis_url: str, tmp_path: Path
) -> None:
    issuer, jwks, reasons = Issuer(), tmp_path / "jwks.json", list[str]()

    def on_state(state: State) -> None:
        reasons.append(state.reason)
        if len(reasons) > 3:
            jwks.write_bytes(issuer.jwks("ES256"))

    token = issuer.token(wall_ns() / 1e9 + 60)
    async with (
        blind(redis_url, jwks) as rig,
        connect(rig.url, token=token, backoff=SOON, on_state=on_state) as stream,
    ):
        await stream.subscribe(trades="SIM:A")
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 1) == [1]
    assert any("cannot be read at the moment" in reason for reason in reasons)


async def test_who_is_locked_out_by_a_neighbours_wrong_keys_comes_back(redis_url: str) -> None:
    minutes_ns, reasons = [0], list[str]()
    keys = ApiKeys({"KEY": hashlib.sha256(b"s3cret").digest()})
    access = access_of(keys, failures_per_minute=1, monotonic_ns=lambda: minutes_ns[0])

    def on_state(state: State) -> None:
        reasons.append(state.reason)
        if "try again in 60 s" in state.reason:
            minutes_ns[0] += 60 * 10**9

    async with gateway(redis_url, f"test-{uuid.uuid4().hex[:12]}", access=access) as rig:
        with pytest.raises(AuthFailed, match="wrong secret"):
            async with connect(rig.url, key="KEY", secret="wrong"):
                pass
        async with connect(
            rig.url, key="KEY", secret="s3cret", backoff=SOON, on_state=on_state
        ) as stream:
            await stream.subscribe(trades="SIM:A")

    assert any("too many failed attempts from this address" in reason for reason in reasons)


async def test_a_token_is_asked_for_before_each_connection(redis_url: str) -> None:
    asked: list[str] = []

    async def token() -> str:
        asked.append("KEY:s3cret")
        return asked[-1]

    async with (
        guarded(redis_url) as rig,
        breakable(rig) as (proxy, url),
        connect(url, token=token, backoff=SOON) as stream,
    ):
        await stream.subscribe(trades="SIM:A")
        await proxy.cut()
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 1) == [1]
        assert asked == ["KEY:s3cret"] * 2


def token_of_a_second() -> str:
    claims = json.dumps({"exp": wall_ns() / 1e9 + 1}).encode()
    return f"head.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


async def test_a_token_is_renewed_while_the_connection_lives(
    rig: Rig, eventually: Eventually
) -> None:
    asked, states = [], list[State]()

    def token() -> str:
        asked.append(token_of_a_second())
        return asked[-1]

    async with connect(rig.url, token=token, on_state=states.append) as stream:
        await stream.subscribe(trades="SIM:A")
        await eventually(lambda: len(asked) == 2)
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 1) == [1]
        assert [state.phase for state in states] == ["live"]


async def test_a_function_that_gives_no_token_for_a_while_costs_time_only(rig: Rig) -> None:
    given: list[str] = []
    states: list[State] = []

    def token() -> str:
        given.append("KEY:s3cret")
        if 1 < len(given) < 4:
            raise LookupError("the token service is away")
        return given[-1]

    async with (
        breakable(rig) as (proxy, url),
        connect(url, token=token, backoff=SOON, on_state=states.append) as stream,
    ):
        await stream.subscribe(trades="SIM:A")
        await proxy.cut()
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 1) == [1]
    reasons = [state.reason for state in states if state.phase == "lost"]
    assert reasons[1:] == ["no token: LookupError('the token service is away')"] * 2


async def test_a_function_that_never_gives_a_token_is_named_as_the_reason(rig: Rig) -> None:
    def token() -> str:
        raise LookupError("no such user")

    with pytest.raises(Unreachable, match=r"no token: LookupError.'no such user'."):
        async with connect(rig.url, token=token, first_s=0.2, backoff=SOON):
            pass
    with pytest.raises(TypeError, match="token: the function gave None; expected text"):
        async with connect(rig.url, token=lambda: None):  # type: ignore[arg-type,return-value]
            pass


async def test_a_token_that_cannot_be_renewed_in_time_leaves_the_connection_as_it_is(
    rig: Rig, eventually: Eventually
) -> None:
    asked, states = [], list[State]()

    def token() -> str:
        asked.append(token_of_a_second())
        if len(asked) > 1:
            raise LookupError("the token service is away")
        return asked[-1]

    async with connect(rig.url, token=token, on_state=states.append) as stream:
        await stream.subscribe(trades="SIM:A")
        await eventually(lambda: len(asked) == 2)
        await rig.trade("SIM:A")

        assert await trade_ids(stream, 1) == [1]
        assert [state.phase for state in states] == ["live"]


async def test_an_error_of_a_callback_leaves_the_block_as_it_is(rig: Rig) -> None:
    def fail(state: State) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with connect(rig.url, on_state=fail):
            pass


async def test_a_loss_has_its_own_reason_and_not_that_of_one_before() -> None:
    states: list[State] = []

    async def close_at_once(socket: ServerConnection) -> None:
        await socket.send(json.dumps([{"T": "success", "msg": "connected"}]))
        await socket.send(json.dumps([{"T": "error", "code": 407, "msg": "slow client"}]))
        server.close(close_connections=False)

    async with serve(close_at_once, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(Unreachable, match="connection refused"):
            async with connect(
                f"ws://127.0.0.1:{port}",
                encoding="json",
                max_attempts=1,
                backoff=SOON,
                on_state=states.append,
            ) as stream:
                await anext(stream)

    assert [state.reason for state in states if state.phase == "lost"] == ["slow client (code 407)"]


async def test_nobody_at_that_address_is_said_in_words(free_port: int) -> None:
    with pytest.raises(Unreachable, match=r"cannot be reached: connection refused .*running there"):
        async with connect(f"ws://127.0.0.1:{free_port}", first_s=0.3, backoff=SOON):
            pass


async def test_another_path_is_refused_and_not_tried_again(rig: Rig) -> None:
    with pytest.raises(Refused, match="404"):
        async with connect(f"ws://127.0.0.1:{rig.service.port}/elsewhere"):
            pass


async def test_attempts_may_be_bounded(rig: Rig) -> None:
    async with (
        breakable(rig) as (proxy, url),
        connect(url, backoff=SOON, max_attempts=2) as stream,
    ):
        await stream.subscribe(trades="SIM:A")
        await proxy.refuse()
        with pytest.raises(Unreachable):
            async for _ in stream:
                pass


async def test_an_error_of_the_block_leaves_it_as_it_is(rig: Rig) -> None:
    async def fail() -> None:
        async with connect(rig.url) as stream:
            await stream.subscribe(trades="SIM:A")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()


async def test_one_connect_is_one_stream_at_a_time(rig: Rig) -> None:
    opening = connect(rig.url)
    async with opening:
        with pytest.raises(RuntimeError, match="this stream is open already"):
            await opening.__aenter__()

    async with opening as stream:
        assert stream.state.phase == "live"


async def test_a_stream_that_was_closed_says_so(rig: Rig) -> None:
    async with connect(rig.url) as stream:
        pass

    with pytest.raises(StreamClosed, match="async with connect"):
        await stream.subscribe(trades="SIM:A")
    assert [message async for message in stream] == []


async def test_a_gateway_on_this_machine_is_reached_without_the_proxy_of_the_environment(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "socks_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody is there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    base = f"http://127.0.0.1:{rig.service.port}"

    async with connect(base, first_s=5) as stream:
        await stream.subscribe(trades="SIM:A")
    asked = Requests(url=base, credentials=Credentials(), retries=0)

    assert await asyncio.to_thread(asked.get, "/hello", {}) == b'{"hello": "world"}'
