"""The rig of this folder's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.gateway_http.rig import Rig, running


@pytest.fixture
async def rig(embedded_migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    """A gateway for tests where the kind of database makes no difference."""
    async with running(
        database_url=embedded_migrated_url, redis_url=redis_url, namespace=namespace
    ) as rig:
        yield rig


@pytest.fixture
async def both(migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    """A gateway on the embedded server, and again on TimescaleDB."""
    async with running(database_url=migrated_url, redis_url=redis_url, namespace=namespace) as rig:
        yield rig
