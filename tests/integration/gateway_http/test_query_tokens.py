"""A token in the query of a URL is written nowhere: not in logs, answers, metrics or Redis."""

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from gateway.access.tokens import TokenRules, Tokens, secret_key
from storage.redis import command, connect
from tests.access import access_of
from tests.clocks import wall_ns
from tests.integration.gateway_http.gateways import Place, Town, gateway, town
from tests.integration.system.roles import Deployment, alive
from tests.tokens import SECRET, Issuer

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of a handshake, RFC 6455
UPGRADE = (
    "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
)
CLOSE = "Host: a\r\nConnection: close\r\n"
CLOSING = 0x88  # how the last frame of a stream begins
PATHS = (
    *("/", "/docs", "/livez", "/metrics", "/openapi.json", "/v1/status", "/v1/symbols", "/v1/none"),
    *("/v1/bars", "/v1/bars/", "//v1/bars", "/v1/stream", "/v2/stocks/bars", "/udf/config", "/%ff"),
)


def tokens() -> dict[str, str]:
    """One that is good, one that has expired, one whose signature is another's."""
    issuer, now_s = Issuer(), wall_ns() / 1e9
    good, other = (issuer.token(now_s + 600, algorithm="HS256", kid=None, jti=n) for n in "ab")
    return {
        "good": good,
        "expired": issuer.token(now_s - 600, algorithm="HS256", kid=None),
        "forged": good.rpartition(".")[0] + "." + other.rpartition(".")[2][::-1],
    }


def requests(token: str) -> list[bytes]:
    """What is asked with *token* in a URL, well-formed and not."""
    ask, stream = f"token={token}", f"GET /v1/stream?token={token}"
    authorized = f"Authorization: Bearer {token}\r\n"
    long, odd = "A" * 70_000, "\x00\x01"
    texts = [
        *(f"{method} {path}?{ask} HTTP/1.1\r\n{CLOSE}\r\n" for path in PATHS
          for method in ("GET", "HEAD", "OPTIONS", "POST")),
        *(f"GET {target} HTTP/1.1\r\n{CLOSE}{authorized}Referer: /?{ask}\r\n\r\n"
          for target in (f"/v1/symbols?{ask}", "/v1/symbols", f"/udf/symbols?symbol=SIM:A&{ask}")),
        f"GET /v1/symbols?{ask} HTTP/1.1\r\n{CLOSE}Expect: miracles\r\n\r\n",
        f"GET /v1/bars?symbols=SIM:A&limit=x&{ask} HTTP/1.1\r\n{CLOSE}\r\n",
        # Handshakes that are refused.
        f"{stream} HTTP/1.1\r\n{UPGRADE.replace(KEY, 'short')}\r\n",
        f"{stream} HTTP/1.1\r\n{UPGRADE.replace('13', '12')}\r\n",
        f"{stream} HTTP/1.1\r\n{UPGRADE}Origin: https://elsewhere.example\r\n\r\n",
        f"{stream} HTTP/1.1\r\n{UPGRADE}bad header\r\n\r\n",
        f"{stream}&encoding=xml HTTP/1.1\r\n{UPGRADE}\r\n",
        f"{stream}&{ask} HTTP/1.1\r\n{UPGRADE}\r\n",
        f"{stream.replace('GET', 'POST')} HTTP/1.1\r\n{UPGRADE}\r\n",
        f"{stream.replace('stream', 'none')} HTTP/1.1\r\n{UPGRADE}\r\n",
        # What is no HTTP.
        f"{stream} HTTP/9\r\n\r\n",
        f"{stream}\r\n\r\n",
        f"{stream}{odd} HTTP/1.1\r\n{CLOSE}\r\n",
        f"{stream} more HTTP/1.1\r\n{CLOSE}\r\n",
        f"{stream}{long} HTTP/1.1\r\n{CLOSE}\r\n",
        f"GET http://[/v1/bars?{ask} HTTP/1.1\r\n{CLOSE}\r\n",
        f"GET http://a:b/v1/bars?{ask} HTTP/1.1\r\n{CLOSE}\r\n",
        f"?{ask} / HTTP/1.1\r\n{CLOSE}\r\n",
        f"GET / HTTP/1.1\r\n{CLOSE}Referer: /?{ask}{long}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{CLOSE}Referer: /?{ask}{odd}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{CLOSE}/?{ask}: 1\r\n\r\n",
        f"GET / HTTP/1.1\r\n{CLOSE}Content-Length: {ask}\r\n\r\n",
    ]  # fmt: skip
    return [text.encode("latin-1") for text in texts]


def masked(text: str) -> bytes:
    """A frame of a client, with a mask of zeros."""
    data = text.encode()
    return bytes((0x81, 0x80 | 126)) + len(data).to_bytes(2) + bytes(4) + data


def is_closed(answer: bytes) -> bool:
    """Whether the last frame of a stream, which a client answers in kind, is in *answer*."""
    head, _, frames = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 "):
        return False
    while len(frames) >= 4 and frames[0] != CLOSING:
        short = frames[1] < 126
        size = frames[1] if short else int.from_bytes(frames[2:4])
        frames = frames[(2 if short else 4) + size :]
    return len(frames) >= 2 and frames[0] == CLOSING and len(frames) >= 2 + frames[1]


async def said(base: str, sent: bytes) -> bytes:
    """All that the gateway answers to *sent* until it closes the connection or the stream."""
    parts = urlsplit(base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    answer = b""
    try:
        writer.write(sent)
        async with asyncio.timeout(20):
            while piece := await reader.read(65_536):
                answer += piece
                if is_closed(answer):
                    break
    except ConnectionError:
        pass  # what it did not read made the kernel cut the connection
    except TimeoutError as exc:
        raise AssertionError(f"no end: {sent[:300]!r}, {answer[:300]!r}") from exc
    finally:
        writer.close()
    return answer


async def all_said(base: str, token: str) -> bytes:
    """Answers to every request, and of a stream that is opened with the token and misused."""
    asked = requests(token)
    stream = f"GET /v1/stream?token={token} HTTP/1.1\r\n{UPGRADE}\r\n".encode()
    for text in ("no JSON", f'{{"action":"auth","token":"{token}x"}}'):
        ended = masked('{"action":"subscribe","trades":"no list"}') + b"\xff\xff"
        asked.append(stream + masked(text) + ended)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(said(base, each)) for each in asked]
    return b"\n".join(task.result() for task in tasks)


def written(text: str | bytes, all_tokens: dict[str, str]) -> list[str]:
    """Which tokens *text* has something of that matters, but for what is the same in all."""
    text = text if isinstance(text, str) else text.decode("latin-1")
    return [
        name
        for name, token in all_tokens.items()
        for part in (token.split(".")[1], token.split(".")[2][:12], token[:30])
        if part in text
    ]


@pytest.fixture
async def place(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> AsyncIterator[tuple[Town, Place]]:
    access = access_of(tokens=Tokens(TokenRules(leeway_s=0), fixed=secret_key(SECRET)))
    async with (
        town(embedded_migrated_url, redis_url, namespace) as around,
        gateway(around, access=access) as inside,
    ):
        yield around, inside


async def test_no_log_answer_or_key_has_it_even_where_the_gateway_fails(
    place: tuple[Town, Place], caplog: pytest.LogCaptureFixture
) -> None:
    (around, inside), shown = place, tokens()
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="websockets")  # as the program does at any level

    before = [await all_said(inside.base, token) for token in shown.values()]
    del inside.market._directory  # from now on there is a bug
    after = await all_said(inside.base, shown["good"])
    stream = f"GET /v1/stream?token={shown['good']} HTTP/1.1\r\n{UPGRADE}\r\n".encode()
    broken = await said(inside.base, stream + masked('{"action":"subscribe","trades":["A"]}'))

    for name, text in {"log": caplog.text, "answers": b"".join([*before, after, broken])}.items():
        assert written(text, shown) == [], name
    assert "internal error while serving a client" in caplog.text
    assert "GET /v1/symbols failed" in caplog.text
    assert written(await everything(around.redis_url), shown) == []


@pytest.mark.slow
async def test_no_line_of_a_program_that_logs_at_debug_has_it(
    redis_url: str, embedded_migrated_url: str, namespace: str
) -> None:
    deployment = Deployment(
        redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace
    )
    shown = tokens()
    flags = ("--jwt-shared-key", SECRET, "--log-level", "debug", "--log-format", "json")
    async with deployment.gateway(*flags, "--http-requests-per-min", "1000000") as running:
        await alive(running)
        answers = [await all_said(running.url, token) for token in shown.values()]
        ask = f"GET /PATH HTTP/1.1\r\n{CLOSE}Authorization: Bearer {shown['good']}\r\n\r\n"
        for path in ("metrics", "v1/status"):
            answers.append(await said(running.url, ask.replace("PATH", path).encode()))
            assert answers[-1].startswith(b"HTTP/1.1 200 ")
        assert await running.stop() == 0

    said_all = b"".join(answers)
    assert b"101 Switching Protocols" in said_all
    assert b"\r\nLocation:" not in said_all  # nobody is sent elsewhere
    assert written(said_all, shown) == []
    assert "listening on" in running.output()
    assert written("\n".join(running.lines), shown) == []
    assert written(await everything(redis_url), shown) == []


async def everything(redis_url: str) -> bytes:
    """All keys and values of a Redis."""
    redis = connect(redis_url)
    try:
        keys = await command(redis, "KEYS", "*")
        dumps = [await command(redis, "DUMP", key) for key in keys]
    finally:
        await redis.aclose()
    return b"\n".join(bytes(part) for part in (*keys, *dumps) if part is not None)
