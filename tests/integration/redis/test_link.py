"""One connection, shared by many: who gets which reply, and what is said when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from storage.link import LinkDown, open_link
from storage.redis import command, connect
from storage.redis_url import Address, Credentials
from tests.conftest import Eventually, find_free_port
from tests.integration.redis.test_refusals import linked
from tests.redis_servers import MAKES, Server, running

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    one = Server("valkey", tmp_path / "server")
    async with running([one]):
        yield one


@contextlib.asynccontextmanager
async def speaking(talk: Talk) -> AsyncIterator[Server]:
    """Something that listens and is no Redis."""
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        talk(reader, writer)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield Server("valkey", Path(), port=listener.sockets[0].getsockname()[1])
    listener.close()
    for writer in writers:
        writer.transport.abort()


async def test_each_of_many_senders_gets_its_own_replies_whoever_gave_up(server: Server) -> None:
    async with linked(server) as link:
        large = b"x" * 300_000
        sent = [link.send([("ECHO", n), ("ECHO", b"%d" % n + large)]) for n in range(60)]
        for given_up in sent[::3]:
            given_up.cancel()

        for n, future in enumerate(sent):
            if n % 3:
                assert await future == [b"%d" % n, b"%d" % n + large]
        assert link.waiting_since_s == float("inf")


async def test_how_long_the_oldest_request_waits_is_known(server: Server) -> None:
    async with linked(server) as link:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        blocked = link.send([("BLPOP", "nothing", 0)])
        since_s = link.waiting_since_s
        link.send([("PING",)])

        assert before_s <= since_s <= loop.time()
        assert link.waiting_since_s == since_s
        assert not blocked.done()


async def test_a_dropped_connection_fails_all_who_wait_and_leaves_nothing(
    server: Server, eventually: Eventually
) -> None:
    async with linked(server) as link:
        sent = [link.send([("BLPOP", "nothing", 0)]), link.send([("PING",)])]
        link.drop("enough")

        for future in (*sent, link.send([("PING",)])):
            with pytest.raises(LinkDown, match=r"^enough$"):
                await future
        assert not link.usable
        await eventually(lambda: not [t for t in asyncio.all_tasks() if "replies" in t.get_name()])

        async def alone() -> bool:  # but for the connection that asks
            return b"connected_clients:1\r" in await server.ask("INFO", "clients")

        await eventually(alone)


async def test_a_server_that_closes_is_noticed_by_who_waits(
    server: Server, eventually: Eventually
) -> None:
    async with linked(server) as link:
        waiting = link.send([("BLPOP", "nothing", 0)])
        server.kill()

        with pytest.raises(LinkDown, match=r"closed|reset"):
            await waiting
        assert not link.usable


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak as Redis does"),
        (b"-MOVED nowhere at all\r\n", "does not speak as Redis does"),
        (b"+OK\r\n+OK\r\n", "nobody asked for b'OK'"),
        (b"", "closed"),
    ],
)
async def test_what_is_no_redis_is_told_from_one_that_is_away(words: bytes, said: str) -> None:
    def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.write_eof()

    async with speaking(talk) as server, linked(server) as link:
        with contextlib.suppress(LinkDown):
            await link.send([("PING",)])
        with pytest.raises(LinkDown, match=said):
            await link.send([("PING",)])


async def test_a_server_that_does_not_answer_the_login_is_given_up_in_time() -> None:
    async with speaking(lambda _, __: None) as server:
        with pytest.raises(LinkDown, match=r"^no connection within 0.1 s$"):
            await open_link(
                Address("127.0.0.1", server.port),
                credentials=Credentials("", "secret"),
                database=0,
                tls=None,
                timeout_s=0.1,
            )


async def test_why_nobody_is_there_is_told_in_words() -> None:
    redis = connect(f"redis://127.0.0.1:{find_free_port()}")
    with pytest.raises(Exception, match=r"Connect call failed|refused"):
        await command(redis, "PING")
    await redis.aclose()


@pytest.mark.parametrize("make", MAKES)
async def test_a_connection_is_made_with_no_more_than_login_and_database(
    make: str, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    server = Server(make, tmp_path / "server", ("--requirepass", "p", "--unixsocket", str(path)))
    async with running([server]):
        for url in (f"redis://:p@127.0.0.1:{server.port}/3", f"unix://:p@{path}?db=3"):
            redis = connect(url)
            assert b"db=3" in await command(redis, "CLIENT", "INFO")
            told = (await command(redis, "INFO", "commandstats")).decode()
            await redis.aclose()
        used = {line.split(":")[0] for line in told.splitlines() if "cmdstat" in line}
        assert {"cmdstat_auth", "cmdstat_select"} <= used
        assert not used & {"cmdstat_hello", "cmdstat_client|setinfo", "cmdstat_client|setname"}

        redis = connect(f"redis://:p@127.0.0.1:{server.port}/99")
        with pytest.raises(Exception, match="refused: ERR DB index is out of range"):
            await command(redis, "PING")
        await redis.aclose()
