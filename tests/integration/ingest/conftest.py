from collections.abc import AsyncIterator

import pytest

from tests.integration.ingest.rig import Stored


@pytest.fixture
async def stored(redis_url: str, namespace: str) -> AsyncIterator[Stored]:
    found = Stored(redis_url, namespace)
    yield found
    await found.redis.aclose()
