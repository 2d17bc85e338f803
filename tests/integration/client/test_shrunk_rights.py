"""Who has fewer rights by now goes on with what is left of the set, in both clients."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.access.tokens import TokenRules, Tokens, secret_key
from tests.access import access_of
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.client.test_client_stream import SOON, breakable, trade_ids
from tests.integration.client.test_javascript import driven
from tests.integration.gateway.rig import Rig, gateway
from tests.node import find_node
from tests.tokens import SECRET, Issuer
from tickgate.client import Refused, SymbolRefused, connect
from tickgate.client import stream as stream_module

FOREIGN = [f"X:S{number}" for number in range(900)]
SET = ["SIM:A", *FOREIGN, "X:A", "SIM:B"]


@pytest.fixture
async def rig(redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    tokens = Tokens(TokenRules(), fixed=secret_key(SECRET))
    async with gateway(redis_url, namespace, access=access_of(tokens=tokens)) as running:
        yield running


@pytest.fixture
def tokens() -> list[str]:
    """For one connection after the other."""
    issuer, expires_s = Issuer(), wall_ns() / 1e9 + 3600
    less = {"symbols": ["SIM:*"], "channels": ["trades"]}
    return [
        issuer.token(expires_s, algorithm="HS256"),
        issuer.token(expires_s, algorithm="HS256", **less),
    ]


async def test_the_python_client_goes_on_with_the_rest(rig: Rig, tokens: list[str]) -> None:
    problems: list[SymbolRefused] = []

    def take(problem: Refused) -> None:
        assert isinstance(problem, SymbolRefused)
        problems.append(problem)

    shown = iter(tokens)
    async with (
        breakable(rig) as (proxy, url),
        connect(url, token=lambda: next(shown), backoff=SOON, on_problem=take) as stream,
    ):
        await stream.subscribe(trades=SET, bars="SIM:A")
        await rig.trade("SIM:A")
        before = await trade_ids(stream, 1)
        await proxy.cut()
        await rig.trade("X:A", "SIM:B")

        assert before + await trade_ids(stream, 1) == [1, 3]
        assert stream.subscriptions == {"trades": ("SIM:A", "SIM:B")}
    of_channels, of_symbols = problems
    assert of_channels.channels == ("bars",)
    assert set(of_symbols.symbols) == {*FOREIGN, "X:A"}


async def test_the_javascript_client_goes_on_with_the_rest(rig: Rig, tokens: list[str]) -> None:
    async with (
        breakable(rig) as (proxy, url),
        driven(find_node(), url, tokens=tokens) as js,
    ):
        await js.do("subscribe", channels={"trades": SET, "bars": ["SIM:A"]})
        await rig.trade("SIM:A")
        before = await js.trade_ids(1)
        await proxy.cut()
        await rig.trade("X:A", "SIM:B")
        problems = [await js.event("problem", "trade") for _ in range(2)]

        assert before + await js.trade_ids(1) == [1, 3]
        assert [problem["code"] for problem in problems] == [409, 409]


async def test_rights_that_end_on_a_live_connection_are_told_and_the_last_ends_the_stream(
    rig: Rig, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "renewal_s", lambda token, now_s: 0.2)
    issuer, expires_s = Issuer(), wall_ns() / 1e9 + 3600
    permitted = ["SIM:*", "X:*"]
    problems: list[Refused] = []

    def token() -> str:
        return issuer.token(expires_s, algorithm="HS256", symbols=permitted)

    async with connect(rig.url, token=token, on_problem=problems.append) as stream:
        await stream.subscribe(trades=["SIM:A", "X:A"])
        permitted.remove("X:*")
        await eventually(lambda: stream.subscriptions == {"trades": ("SIM:A",)})
        await rig.trade("X:A", "SIM:A")
        assert await trade_ids(stream, 1) == [2]
        permitted[:] = ["Y:*"]
        with pytest.raises(SymbolRefused, match="what this caller may read has changed") as caught:
            async with asyncio.timeout(10):
                await anext(stream)

    (problem,) = problems
    assert isinstance(problem, SymbolRefused)
    assert problem.symbols == ("X:A",)
    assert caught.value.symbols == ("SIM:A",)
