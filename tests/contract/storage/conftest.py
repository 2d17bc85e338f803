"""Fixtures of the storage tests: clients of the real servers, and blocks to write."""

from collections.abc import AsyncIterator, Callable

import pytest

from core.market.block import BlockMeta, encode_block
from core.market.symbol import Symbol
from core.market.tick import Tick
from storage.database import Database
from storage.redis import Redis, connect
from tests.contract.storage.lossy import LossyProxy

MakeBlock = Callable[..., bytes]


class HandClock:
    """A wall clock that a test sets, UNIX ns."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms * 1_000_000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of the session's server."""
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def lossy(redis_url: str) -> AsyncIterator[LossyProxy]:
    """A proxy before the session's server."""
    async with LossyProxy(redis_url).running() as proxy:
        yield proxy


@pytest.fixture
async def lossy_redis(lossy: LossyProxy) -> AsyncIterator[Redis]:
    """A client of the session's server through the proxy."""
    client = connect(lossy.url)
    yield client
    await client.aclose()


@pytest.fixture
def block() -> MakeBlock:
    """Make the payload of a block with a number and some ticks."""

    def make(number: int, *, ticks: int = 1, position: int = 0) -> bytes:
        meta = BlockMeta(
            number=number, watermark_ns=1, feed_time_ns=2, sealed_ns=3, position=position
        )
        return encode_block(meta, [Tick(Symbol("SIM:A"), n, 1.0, 2.0, n) for n in range(ticks)])

    return make


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """A pool on a migrated database, on PostgreSQL and again on TimescaleDB."""
    db = Database(migrated_url, max_size=4)
    await db.open()
    yield db
    await db.close()
