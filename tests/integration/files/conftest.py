"""The desk of this folder's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.aggregator.rig import Rig
from tests.integration.files.desk import Desk, running


@pytest.fixture
async def desk(
    redis_url: str, embedded_migrated_url: str, namespace: str, tmp_path: Path
) -> AsyncIterator[Desk]:
    rig = Rig(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)
    async with running(rig) as store:
        yield Desk(rig, store, tmp_path)
    await rig.close()
