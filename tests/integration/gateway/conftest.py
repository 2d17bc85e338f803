from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway.rig import Rig, gateway


@pytest.fixture
async def rig(redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    """A gateway with default settings."""
    async with gateway(redis_url, namespace) as running:
        yield running
