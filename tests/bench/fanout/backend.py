"""The servers behind the gateway: Valkey and PostgreSQL, on the clients' core."""

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from redis import Redis

from core.runtime.ports import Clock
from storage.embedded import DataDir, PostgresServer, ValkeyServer
from storage.migrations import migrate
from storage.redis import connect
from storage.streams import FeedInfo, FeedRegistry, StreamKeys
from tests.bench.fanout.feeds import FEED, SHARDS

_MAX_BYTES = 1 << 30


class Backend:
    """Running servers, as an installation has them; each sample has a namespace of its own."""

    def __init__(self, redis_url: str, database_url: str) -> None:
        self.redis_url, self.database_url = redis_url, database_url
        self.redis_socket = unquote(urlsplit(redis_url).path)
        self.keys = StreamKeys(shards=SHARDS)

    def new_namespace(self) -> StreamKeys:
        """Empty the store, and make the feed known under new keys, which become ``keys``."""
        self.keys = StreamKeys(f"bench-{uuid.uuid4().hex[:8]}", SHARDS)
        with Redis(unix_socket_path=self.redis_socket) as redis:
            redis.flushall()
        asyncio.run(self._register(time.time_ns))  # noqa: TID251 - the one real clock
        return self.keys

    async def _register(self, now_ns: Clock) -> None:
        redis = connect(self.redis_url)
        try:
            info = FeedInfo(FEED, FEED.upper(), SHARDS, now_ns() // 1_000_000)
            await FeedRegistry(redis, self.keys).register(info)
        finally:
            await redis.aclose()


@contextlib.contextmanager
def backend(folder: Path) -> Iterator[Backend]:
    """Run the embedded servers in *folder* on this process's cores until the block ends."""
    data_dir = DataDir(folder)
    data_dir.acquire()
    sockets, logs = data_dir.socket_folder(), data_dir.folder("log")
    valkey = ValkeyServer(
        data_dir.folder("valkey"), sockets=sockets, logs=logs, stream_max_bytes=_MAX_BYTES
    )
    postgres = PostgresServer(data_dir.folder("postgres"), sockets=sockets, logs=logs)
    try:
        asyncio.run(valkey.start())
        asyncio.run(postgres.start())
        asyncio.run(migrate(postgres.url))
        yield Backend(valkey.url, postgres.url)
    finally:
        asyncio.run(postgres.stop())
        asyncio.run(valkey.stop())
        data_dir.remove_socket_folder()
        data_dir.release()


def stay_on(cores: Iterable[int]) -> None:
    """Keep this process, and what it starts from now on, on *cores*."""
    os.sched_setaffinity(0, cores)
