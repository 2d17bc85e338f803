"""The proxy breaks a way as it is told, and mends it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from tests.conftest import Eventually
from tests.faults.proxy import Proxy

ANSWER = b"answer " * 100


class Way(NamedTuple):
    proxy: Proxy
    heard: list[bytes]


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    """A server that answers each line with :data:`ANSWER`, behind a proxy."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                heard.append(line)
                writer.write(ANSWER)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Proxy(url).running() as proxy:
        yield Way(proxy, heard)
    server.close()


@contextlib.asynccontextmanager
async def connected(
    way: Way,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(way.proxy.host, way.proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"ask\n")
    return await asyncio.wait_for(reader.readexactly(len(ANSWER)), 5)


async def test_it_passes_on_both_ways(way: Way) -> None:
    async with connected(way) as streams:
        assert await asked(*streams) == ANSWER

    assert way.heard == [b"ask\n"]
    assert not way.proxy.hits


async def test_a_reset_ends_the_connections_there_are_and_a_new_one_works(way: Way) -> None:
    async with connected(way) as streams:
        await asked(*streams)
        way.proxy.reset()
        with pytest.raises(ConnectionResetError):
            await streams[0].read()
    async with connected(way) as streams:
        assert await asked(*streams) == ANSWER

    assert way.proxy.hits == {"reset": 1}


async def test_while_it_refuses_no_connection_comes_about(way: Way) -> None:
    way.proxy.refuse()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        async with connected(way) as streams:
            await asked(*streams)
    way.proxy.heal()
    async with connected(way) as streams:
        assert await asked(*streams) == ANSWER

    assert way.proxy.hits["refused"] == 1


async def test_a_black_hole_keeps_bytes_until_it_is_healed(
    way: Way, eventually: Eventually
) -> None:
    async with connected(way) as (reader, writer):
        await asked(reader, writer)
        way.proxy.black_hole()
        writer.write(b"into the dark\n")
        await eventually(lambda: way.proxy.hits["held"] > 0)
        assert way.heard == [b"ask\n"]

        way.proxy.heal()

        assert await asyncio.wait_for(reader.readexactly(len(ANSWER)), 5) == ANSWER
    assert way.heard == [b"ask\n", b"into the dark\n"]


async def test_a_reply_is_cut_in_the_middle(way: Way) -> None:
    way.proxy.cut_reply(10)
    async with connected(way) as (reader, writer):
        writer.write(b"ask\n")
        assert await asyncio.wait_for(reader.read(), 5) == ANSWER[:10]

    assert way.proxy.hits == {"cut": len(ANSWER) - 10}
    async with connected(way) as streams:
        assert await asked(*streams) == ANSWER


@pytest.mark.parametrize("kind", ["delayed", "slowed"])
async def test_a_slow_way_takes_its_time_and_loses_nothing(way: Way, kind: str) -> None:
    loop = asyncio.get_running_loop()
    if kind == "delayed":
        way.proxy.delay(0.05, 0.06)
    else:
        way.proxy.slow_down(len(ANSWER) / 0.1)
    async with connected(way) as streams:
        began_s = loop.time()
        assert await asked(*streams) == ANSWER
        assert loop.time() - began_s > 0.095

    assert way.proxy.hits[kind] >= len(ANSWER)


async def test_what_is_watched_for_is_kept_until_it_is_released(way: Way) -> None:
    seen = way.proxy.hold_at(b"COMMIT")
    async with connected(way) as (reader, writer):
        await asked(reader, writer)
        writer.write(b"COMMIT\n")
        await asyncio.wait_for(seen, 5)
        assert way.heard == [b"ask\n"]

        way.proxy.release()

        assert await asyncio.wait_for(reader.readexactly(len(ANSWER)), 5) == ANSWER
    assert way.heard == [b"ask\n", b"COMMIT\n"]
