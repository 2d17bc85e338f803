"""TLS and ACL users: what a user needs, and what is said when something is wrong."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.bar_writer import BarWriter
from storage.errors import StreamUnavailable
from storage.quarantine import QuarantineWriter
from storage.redis import command, connect
from storage.registry import FeedRegistry
from storage.roles import RoleBoard, RoleReport
from storage.stream_ranges import StreamRanges
from tests.clocks import wall_ns
from tests.conftest import Eventually
from tests.integration.redis.traffic import Traffic
from tests.redis_servers import MAKES, Server, certify, documented_rights, running, watched

SENTINEL_RULES = ("-@all", "+sentinel|master", "+sentinel|get-master-addr-by-name")


@dataclass
class Secured:
    """A server that takes TLS only, and the files that its clients need."""

    server: Server
    folder: Path

    def url(self, *, user: str = "", ca: bool = True, own: bool = True) -> str:
        options = [f"ssl_ca_certs={self.folder / 'ca.crt'}"] if ca else []
        if own:
            options += [f"ssl_{n}={self.folder / f'us.{e}'}" for n, e in
                        (("certfile", "crt"), ("keyfile", "key"))]  # fmt: skip
        at = f"{user}@" if user else ""
        return f"rediss://{at}127.0.0.1:{self.server.port}/0?{'&'.join(options)}"


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    """Redis 7: the wheel's Valkey is built without TLS."""
    await certify(tmp_path)
    server = Server("redis", tmp_path / "server", tls=tmp_path)
    async with running([server]):
        yield Secured(server, tmp_path)


async def test_blocks_flow_over_tls_and_whoever_is_not_trusted_is_told_so(
    secured: Secured, eventually: Eventually
) -> None:
    traffic = Traffic(secured.url())
    async with traffic.flowing() as writer:
        await eventually(lambda: len(traffic.stored_at) > 20)
    traffic.check(writer)

    for url, said in (
        (secured.url(ca=False), "certificate verify failed"),
        (secured.url(own=False), "(certificate required|closed|reset)"),
        (secured.url().replace("us.key", "no.key"), "No such file"),
    ):
        redis = connect(url)
        with pytest.raises(StreamUnavailable, match=said):
            await command(redis, "PING")
        await redis.aclose()


@pytest.mark.parametrize("make", MAKES)
async def test_the_documented_rights_are_enough_for_every_role(
    make: str, tmp_path: Path, eventually: Eventually
) -> None:
    server = Server(make, tmp_path / "server")
    async with running([server]):
        await server.ask("ACL", "SETUSER", "tickgate", "on", ">p:w", *documented_rights("load"))
        await server.ask("ACL", "SETUSER", "default", "off")
        url = f"redis://tickgate:p%3Aw@127.0.0.1:{server.port}/0"
        traffic = Traffic(url)
        async with traffic.flowing() as writer:
            await eventually(lambda: len(traffic.stored_at) > 20)
            await writer.release()
        redis, keys = connect(url), traffic.keys
        await BarWriter(redis, keys).publish(0, token=1, flush=1, bars=[])
        await BarWriter(redis, keys).publish_running(0, [])
        await QuarantineWriter(redis, keys).newest(1)
        (feed,) = await FeedRegistry(redis, keys).feeds()
        await FeedRegistry(redis, keys).release(feed)
        board = RoleBoard(redis, keys, now_ns=wall_ns)
        now_ms = wall_ns() // 10**6
        await board.publish(
            RoleReport(role="gateway", name="a:1", pid=1, reported_ms=now_ms, started_ms=now_ms)
        )
        await board.withdraw("gateway", "a:1")
        (state,) = (await StreamRanges(redis).states([keys.ticks("sim", 0)])).values()
        assert state.first
        await command(redis, "TIME")
        with pytest.raises(StreamUnavailable, match="NOPERM"):
            await command(redis, "FLUSHALL")
        await redis.aclose()

        for wrong, said in (("tickgate:x@", "WRONGPASS"), ("", "NOAUTH")):
            redis = connect(f"redis://{wrong}127.0.0.1:{server.port}")
            with pytest.raises(StreamUnavailable, match=f"refused: {said}"):
                await command(redis, "PING")
            await redis.aclose()
    traffic.check(writer)


async def test_sentinels_and_their_master_may_each_have_a_password(tmp_path: Path) -> None:
    async with watched("valkey", tmp_path) as servers:
        await servers.servers[0].ask("ACL", "SETUSER", "me", "on", ">m", "~*", "+@all")
        for sentinel in servers.sentinels:
            await sentinel.ask("ACL", "SETUSER", "you", "on", ">s", *SENTINEL_RULES)
            await sentinel.ask("ACL", "SETUSER", "default", "off")
        url = servers.url.replace("://", "://me:m@")

        redis = connect(f"{url}?sentinel_username=you&sentinel_password=s")
        assert await command(redis, "ACL", "WHOAMI") == b"me"
        await redis.aclose()
        redis = connect(url)
        with pytest.raises(StreamUnavailable, match="no Sentinel knows"):
            await command(redis, "PING")
        await redis.aclose()
