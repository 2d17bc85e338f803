"""Keys of tokens from a URL: fetched, kept while they cannot be had, and not at anybody's whim."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from core.market.timeframe import SECOND_NS
from gateway.access.credentials import ShownToken
from gateway.access.grant import Caller
from gateway.access.guard import Guard
from gateway.access.jwks import JwksSource
from gateway.access.tokens import TokenRules, Tokens
from tests.access import access_of
from tests.tokens import Issuer

NOW_S = 1_700_000_000


class Provider:
    """An identity provider's web server; what it answers can be changed."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.body, self.status, self.asked = issuer.jwks("ES256"), 200, 0
        self.url = ""
        self.now_ns = NOW_S * SECOND_NS
        self.tokens = Tokens(TokenRules())
        self.guard: Guard = access_of(tokens=self.tokens, now_ns=lambda: self.now_ns).guard

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        headers = {"Location": "/elsewhere"} if self.status == 302 else {}
        return web.Response(body=self.body, status=self.status, headers=headers)

    def source(self) -> JwksSource:
        return JwksSource(self.url, self.tokens, self.guard, monotonic_ns=lambda: self.now_ns)

    def lets_in(self, algorithm: str) -> bool:
        token = self.issuer.token(NOW_S + 3_600, algorithm=algorithm)
        return isinstance(self.guard.judge(ShownToken(token), "a"), Caller)


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def provider(issuer: Issuer) -> AsyncIterator[Provider]:
    provider = Provider(issuer)
    app = web.Application()
    app.router.add_get("/jwks", provider.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = "http://user:pass@{}:{}/jwks".format(*runner.addresses[0])
    yield provider
    await runner.cleanup()


async def test_keys_are_fetched_and_a_key_that_is_withdrawn_is_good_no_more(
    provider: Provider,
) -> None:
    source = provider.source()

    assert not provider.lets_in("ES256")
    assert await source.refresh()
    assert provider.lets_in("ES256")
    provider.body = provider.issuer.jwks("RS256")
    assert await source.refresh()

    assert provider.lets_in("RS256")
    assert not provider.lets_in("ES256")


async def test_a_set_without_a_usable_key_withdraws_all(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    source = provider.source()
    await source.refresh()
    assert provider.lets_in("ES256")

    provider.body = b'{"keys":[]}'
    assert await source.refresh()

    assert not provider.lets_in("ES256")
    (error,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert "accepted by no key" in error
    provider.body = provider.issuer.jwks("ES256")
    assert await source.refresh()
    assert provider.lets_in("ES256")


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (302, b""), (200, b"<html>"), (200, b" " * 300_000)],
)
async def test_what_cannot_be_used_leaves_the_keys_as_they_were(
    provider: Provider, status: int, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    source = provider.source()
    await source.refresh()
    provider.status, provider.body = status, body

    assert not await source.refresh()
    assert not await source.refresh()

    assert provider.lets_in("ES256")
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "pass" not in warnings[0]


@pytest.mark.parametrize(
    "answer", [b"geheim\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b""]
)
async def test_what_a_server_answers_wrong_is_told_without_the_url(
    provider: Provider, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        provider.url = f"http://127.0.0.1:{port}/geheim?code=geheim"

        assert not await provider.source().refresh()

    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert f"http://127.0.0.1:{port}/…: " in warning
    assert "geheim" not in warning
    assert "\n" not in warning


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example", "[::1"])
async def test_a_host_that_cannot_be_one_is_a_failure_as_any_other(
    provider: Provider, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider.url = f"https://{host}/geheim"

    assert not await provider.source().refresh()

    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "geheim" not in warning


async def test_made_up_keys_have_the_set_fetched_once_in_a_while(provider: Provider) -> None:
    source = provider.source()

    for number in range(20):
        assert await source.look_for(f"made up {number}")
    once = provider.asked
    provider.now_ns += 10 * SECOND_NS
    await source.look_for("made up")

    assert (once, provider.asked) == (1, 2)


async def test_a_server_that_is_away_is_no_error(provider: Provider) -> None:
    provider.url = "http://127.0.0.1:1/jwks"

    source = provider.source()

    assert not await source.refresh()
    assert not await source.look_for("any")
