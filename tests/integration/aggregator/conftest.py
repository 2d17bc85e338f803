"""The rig of this folder's tests."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.integration.aggregator.rig import Rig


@pytest.fixture
async def rig(redis_url: str, migrated_url: str) -> AsyncIterator[Rig]:
    rig = Rig(redis_url=redis_url, database_url=migrated_url, namespace=f"t{uuid4().hex[:12]}")
    yield rig
    await rig.close()
