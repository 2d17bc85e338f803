"""What servers refuse: the kind of refusal comes to the caller word by word, whatever it is."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.dev import free_ports
from storage.fence import APPEND
from storage.keys import slot_of
from storage.link import Argument, Link, LinkDown, ResponseError, open_link
from storage.redis_url import Address, Credentials
from tests.conftest import Eventually, find_free_port
from tests.redis_servers import MAKES, Server, running

SLOW_START = ("--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024")
FENCED = ("EVAL", APPEND.source, 2, "{s}f", "{s}s")


@contextlib.asynccontextmanager
async def linked(server: Server, credentials: Credentials | None = None) -> AsyncIterator[Link]:
    """A connection to *server*."""
    link = await open_link(
        Address("127.0.0.1", server.port),
        credentials=credentials or Credentials(),
        database=0,
        tls=None,
        timeout_s=2.0,
    )
    yield link
    link.drop("done")


async def refusal(link: Link, *command: Argument) -> ResponseError:
    """What the server says to *command*, which it refuses."""
    (reply,) = await link.send([command])
    assert isinstance(reply, ResponseError)
    return reply


@pytest.mark.parametrize("make", MAKES)
async def test_a_single_server_s_refusals_keep_their_kind(make: str, tmp_path: Path) -> None:
    server = Server(make, tmp_path / "server")
    async with running([server]), linked(server) as link:
        await link.send([("SET", "text", "1"), ("HSET", "{s}f", "token", 5, "last", "0-0")])
        for kind, command in (
            ("ERR", ("NONSENSE",)),
            ("WRONGTYPE", ("XLEN", "text")),
            ("NOSCRIPT", ("EVALSHA", "0" * 40, 0)),
            ("STALE", (*FENCED, 4, 0, "0-0", "1-1", "x")),
            ("BEHIND", (*FENCED, 6, 0, "9-9", "1-1", "x")),
            ("WRONGPASS", ("AUTH", "nobody", "x")),
        ):
            refused = await refusal(link, *command)
            assert refused.kind == kind, command
            assert len(str(refused)) > len(kind)
        await link.send([("CONFIG", "SET", "maxmemory", 1)])
        assert (await refusal(link, "XADD", "s", "*", "b", "x")).kind == "OOM"
        await link.send([("CONFIG", "SET", "maxmemory", 0)])
        await link.send([("ACL", "SETUSER", "default", "-xadd")])
        assert (await refusal(link, "XADD", "s", "*", "b", "x")).kind == "NOPERM"
        assert link.usable


@pytest.mark.parametrize("make", MAKES)
async def test_a_replica_s_refusals_keep_their_kind(
    make: str, tmp_path: Path, eventually: Eventually
) -> None:
    server = Server(make, tmp_path / "server")
    async with running([server]), linked(server) as link, linked(server) as waiting:
        blocked = waiting.send([("XREAD", "BLOCK", 0, "STREAMS", "s", "0-0")])

        async def blocks() -> bool:
            return b"blocked_clients:1" in await server.ask("INFO", "clients")

        await eventually(blocks)  # on a replica it would be let wait
        await link.send([("REPLICAOF", "127.0.0.1", find_free_port())])
        (reply,) = await blocked

        assert isinstance(reply, ResponseError)
        assert reply.kind == "UNBLOCKED"
        assert (await refusal(link, "SET", "a", "b")).kind == "READONLY"
        await link.send([("CONFIG", "SET", "replica-serve-stale-data", "no")])
        assert (await refusal(link, "GET", "a")).kind == "MASTERDOWN"
        assert link.usable


@pytest.mark.parametrize("make", MAKES)
async def test_a_server_that_still_loads_is_told_apart_from_one_that_is_away(
    make: str, tmp_path: Path, eventually: Eventually
) -> None:
    server = Server(make, tmp_path / "server")
    async with running([server]):
        await server.ask("EVAL", "for n = 1, 20000 do redis.call('SET', n, n) end", 0)
        await server.ask("SAVE")
        server.kill()
        server.options = SLOW_START
        server.launch()

        async def loads() -> bool:
            try:
                async with linked(server) as link:
                    (reply,) = await link.send([("PING",)])
                    return isinstance(reply, ResponseError) and reply.kind == "LOADING"
            except LinkDown:
                return False

        await eventually(loads)


async def test_a_cluster_s_refusals_keep_their_kind(tmp_path: Path, eventually: Eventually) -> None:
    ports = free_ports(4)
    one, two = [
        Server("valkey", tmp_path / name,
               ("--cluster-enabled", "yes", "--cluster-port", str(bus)), port)
        for name, port, bus in (("one", *ports[:2]), ("two", *ports[2:]))
    ]  # fmt: skip
    async with running([one, two]), linked(one) as link:
        assert (await refusal(link, "GET", "a")).kind == "CLUSTERDOWN"
        await one.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        await one.ask("CLUSTER", "MEET", "127.0.0.1", two.port, int(two.options[-1]))

        async def ready() -> bool:
            told = await one.ask("CLUSTER", "INFO")
            return b"cluster_state:ok" in told and b"known_nodes:2" in told

        await eventually(ready, timeout_s=10)
        await link.send([("SET", "{a}1", "x"), ("SET", "{b}1", "x")])
        other = (await two.ask("CLUSTER", "MYID")).decode()
        await link.send([("CLUSTER", "SETSLOT", slot_of("a"), "MIGRATING", other)])
        where = f"{slot_of('a')} 127.0.0.1:{two.port}"

        assert str(await refusal(link, "GET", "{a}2")) == f"ASK {where}"
        assert (await refusal(link, "MGET", "{a}1", "{a}2")).kind == "TRYAGAIN"
        assert (await refusal(link, "MGET", "{a}1", "{b}1")).kind == "CROSSSLOT"
        await link.send([("DEL", "{a}1")])
        await link.send([("CLUSTER", "SETSLOT", slot_of("a"), "NODE", other)])
        assert str(await refusal(link, "GET", "{a}1")) == f"MOVED {where}"
        assert link.usable
