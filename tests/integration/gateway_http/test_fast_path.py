"""Answers given again without aiohttp: the same bytes, and nothing odd is answered that way."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from gateway.access.entitlement import Entitlement
from gateway.access.grant import Caller
from gateway.access.keyring import KeyRecord, Keyring
from tests.access import access_of
from tests.integration.gateway_http.rig import Rig, bar, running

BTC = "COINBASE:BTC-USD"
BARS = f"/v1/bars?symbols={BTC}&start=2021-07-03&end=2021-07-03T10:00:00Z"
_DATE = re.compile(rb"\r\nDate: [^\r]*")
_REMAINING = re.compile(rb"\r\nX-RateLimit-Remaining: ([0-9]+)")
_TELLS = re.compile(rb"\r\nX-RateLimit-(Remaining|Reset): [0-9]+")
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)")


class Wire:
    """A connection on which requests are sent as they are written here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, *pieces: bytes, answers: int = 1, body: bool = True) -> bytes:
        """Send *pieces*, each on its own; the answers that come, without their dates."""
        for piece in pieces:
            self.writer.write(piece)
            for _ in range(10):  # the server runs on the same loop: it reads them one by one
                await asyncio.sleep(0)
        return b"".join([await self.answer(body=body) for _ in range(answers)])

    async def answer(self, *, body: bool = True) -> bytes:
        async with asyncio.timeout(5):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length and body and b" 304 " not in head else 0
            return _DATE.sub(b"", head) + await self.reader.readexactly(size)

    async def is_closed(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read(1) == b""


def get(target: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: x", *lines, "", ""]).encode()


@asynccontextmanager
async def wire(base: str) -> AsyncIterator[Wire]:
    host, _, port = base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def by_aiohttp(rig: Rig, asked: Sequence[bytes], *, fast: Wire) -> tuple[list[bytes], int]:
    """The answers to *asked*, one after the other, and how many of them aiohttp made."""
    before = rig.server.requests_count or 0
    answers = [await fast.ask(each) for each in asked]
    return answers, (rig.server.requests_count or 0) - before


@pytest.fixture
async def filled(rig: Rig) -> Rig:
    await rig.save(*(bar(BTC, minute) for minute in range(20)))
    return rig


TARGETS = (BARS, BARS + "&limit=3&sort=desc", f"/v1/bars/latest?symbols={BTC}")
LINES: tuple[tuple[str, ...], ...] = (
    (),
    ("Accept-Encoding: gzip, br",),
    ("Accept: application/json", "User-Agent: someone/1.0", "Connection: keep-alive"),
    ("Origin: https://charts.example",),
    ("If-None-Match: *",),
)
ODD: tuple[tuple[bytes, ...], ...] = (
    (get(BARS, method="HEAD"),),
    (get(BARS, version="1.0"),),
    (get(BARS, "Connection: keep-alive", "Via: HTTP/1.1", version="1.0"),),
    (get(BARS, "Connection: close"),),
    (get(BARS)[:40], get(BARS)[40:]),
    (get(BARS) + get(BARS)[:9], get(BARS)[9:]),
    (get(BARS, "Content-Length: 4"), b"abcd"),
    (get(BARS, "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
    (get(BARS, "Expect: nothing"),),
    (get(BARS, "Upgrade: websocket"),),
    (get("/v1/bars?symbols=&start=2021-07-03"),),
    (get(f"/v1/trades/latest?symbols={BTC}"),),
    (get("/livez"),),
    (get("/nowhere"),),
    (b"GET " + BARS.encode() + b" HTTP/1.1\nHost: x\n\r\n\r\n",),
)


async def test_the_fast_path_gives_the_bytes_of_the_slow_one(filled: Rig) -> None:
    for request in [get(target, *lines) for target in TARGETS for lines in LINES]:
        async with wire(filled.base) as slow, wire(filled.fast) as fast:
            expected = await slow.ask(request)

            answers, slowly = await by_aiohttp(filled, [request] * 4, fast=fast)

            assert answers == [expected] * 4, request
            assert slowly == 1, request


async def test_what_is_odd_is_answered_by_aiohttp_however_often(filled: Rig) -> None:
    async with wire(filled.fast) as first:  # knows the plain one
        for _ in range(2):
            await first.ask(get(BARS))
    for pieces in ODD:
        body = not pieces[0].startswith(b"HEAD")
        answers = b"".join(pieces).count(b"GET ") or 1
        async with wire(filled.base) as slow:
            expected = await slow.ask(*pieces, answers=answers, body=body)
        before = filled.server.requests_count or 0

        for _ in range(2):
            async with wire(filled.fast) as fast:
                assert await fast.ask(*pieces, answers=answers, body=body) == expected, pieces

        assert (filled.server.requests_count or 0) - before == 2 * answers, pieces


async def test_a_request_in_the_body_of_another_is_not_answered(filled: Rig) -> None:
    inner = get(BARS)
    async with wire(filled.fast) as fast:
        for _ in range(2):
            await fast.ask(inner)
        await fast.ask(get(BARS, f"Content-Length: {len(inner)}"))
        fast.writer.write(inner)  # the body, after the answer
        await fast.writer.drain()

        assert await fast.ask(get("/livez")) == await fast_answer(filled, get("/livez"))


async def fast_answer(rig: Rig, request: bytes) -> bytes:
    async with wire(rig.base) as slow:
        return await slow.ask(request)


async def test_requests_in_a_row_without_waiting_are_answered_in_order(filled: Rig) -> None:
    one, two = get(BARS), get(f"/v1/bars/latest?symbols={BTC}")
    async with wire(filled.base) as slow:
        expected = [await slow.ask(each) for each in (one, two)]
    async with wire(filled.fast) as fast:
        for each in (one, two):
            await fast.ask(each)
        fast.writer.write(one)
        await asyncio.sleep(0)
        fast.writer.write(two + one)

        answers = [await fast.answer() for _ in range(3)]

    assert answers == [expected[0], expected[1], expected[0]]


async def test_an_old_answer_is_not_given_again(filled: Rig) -> None:
    async with wire(filled.fast) as fast:
        first = await fast.ask(get(BARS))
        assert await fast.ask(get(BARS)) == first
        await filled.save(bar(BTC, 0, rev=1, close=7.0))
        filled.pass_s(1)  # nobody reads the streams here, so that it is kept for a second

        second = await fast.ask(get(BARS))

    assert second != first
    assert b'"c":7.0' in second


async def test_requests_are_counted_alike(filled: Rig) -> None:
    labels = {"route": "/v1/bars", "status": "200"}
    async with wire(filled.fast) as fast:
        for _ in range(5):
            await fast.ask(get(BARS))

    assert filled.registry.get_sample_value("gateway_http_requests_total", labels) == 5
    count = filled.registry.get_sample_value(
        "gateway_http_request_seconds_count", {"route": "/v1/bars"}
    )
    assert count == 5
    hits = {"cache": "answers", "outcome": "hit"}
    assert filled.registry.get_sample_value("gateway_http_cache_lookups_total", hits) == 4


async def test_a_client_that_does_not_read_is_not_written_to_without_end(filled: Rig) -> None:
    async with wire(filled.fast) as fast, wire(filled.base) as slow:
        expected = await slow.ask(get(BARS))
        assert await fast.ask(get(BARS)) == expected

        for _ in range(500):
            fast.writer.write(get(BARS))
            await asyncio.sleep(0)
        answers = [await fast.answer() for _ in range(500)]

    assert set(answers) == {expected}


async def test_keys_limits_and_what_may_be_read_hold_on_the_fast_path_too(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    reader = Caller(key_id="reader", requests_per_minute=6)
    other = Caller(key_id="other", symbols=Entitlement(["COINBASE:ETH-*"]))
    records = {
        caller.key_id: KeyRecord(hashlib.sha256(b"secret").digest(), caller)
        for caller in (reader, other)
    }
    access = access_of(Keyring(records))
    mine = get(BARS, "APCA-API-KEY-ID: reader", "APCA-API-SECRET-KEY: secret")
    others = get(BARS, "APCA-API-KEY-ID: other", "APCA-API-SECRET-KEY: secret")
    async with running(
        database_url=embedded_migrated_url,
        redis_url=redis_url,
        namespace=namespace,
        access=access,
    ) as rig:
        await rig.save(bar(BTC, 0))
        async with wire(rig.base) as slow, wire(rig.fast) as fast:
            answers = [await slow.ask(mine)]  # five are left
            some, slowly = await by_aiohttp(rig, [mine] * 5, fast=fast)
            answers += some

            assert slowly == 1
            left = [_REMAINING.search(answer) for answer in answers]
            assert [found[1] for found in left if found] == [b"5", b"4", b"3", b"2", b"1", b"0"]
            assert len({_TELLS.sub(b"", answer) for answer in answers}) == 1
            assert b"\r\nCache-Control: private, " in answers[-1]
            assert b"Authorization, APCA-API-KEY-ID, APCA-API-SECRET-KEY\r\n" in answers[-1]
            assert (await fast.ask(mine)).startswith(b"HTTP/1.1 429 ")
            for _ in range(2):
                assert (await fast.ask(others)).startswith(b"HTTP/1.1 403 ")
                assert (await fast.ask(get(BARS))).startswith(b"HTTP/1.1 401 ")


async def test_a_key_that_is_revoked_ends_the_fast_path_for_who_had_it(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    record = KeyRecord(hashlib.sha256(b"secret").digest(), Caller(key_id="stored"))
    access = access_of(always=True, failures_per_minute=3, monotonic_ns=lambda: 0)
    access.guard.require()
    access.guard.store(Keyring({"stored": record}))
    request = get(BARS, "Authorization: Bearer stored:secret")
    async with running(
        database_url=embedded_migrated_url,
        redis_url=redis_url,
        namespace=namespace,
        access=access,
    ) as rig:
        await rig.save(bar(BTC, 0))
        async with wire(rig.fast) as fast:
            answers, slowly = await by_aiohttp(rig, [request] * 3, fast=fast)
            access.guard.require()
            access.guard.store(Keyring())
            refused = [await fast.ask(request) for _ in range(2)]  # not counted twice each

    assert len(set(answers)) == 1
    assert slowly == 2  # what is asked for once is not worth remembering
    assert all(answer.startswith(b"HTTP/1.1 401 ") for answer in refused)
