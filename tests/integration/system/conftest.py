"""Databases of this folder's tests."""

import pytest

from storage.migrations import migrate


@pytest.fixture
async def embedded_migrated_url(embedded_database_url: str) -> str:
    """A new database with the schema in place, where the kind of server makes no difference."""
    await migrate(embedded_database_url)
    return embedded_database_url
