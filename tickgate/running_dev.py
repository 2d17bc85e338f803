"""The servers of the `tickgate dev` that runs: for commands that were told no URL."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from storage.embedded import running_database_url, running_redis_url
from tickgate import rules
from tickgate.settings import Settings


def with_database(settings: Settings) -> Settings:
    """*settings* with a database: where none is named, that of the `tickgate dev` that runs.

    Raises:
        NothingRuns: none runs on the data directory, or it has no database of its own.
        DataDirUnusable: the directory is not for this user to look into.
    """
    return _with(settings, "database_url", running_database_url)


def with_redis(settings: Settings) -> Settings:
    """*settings* with a Redis server: where none is named, that of the `tickgate dev` that runs.

    Raises:
        NothingRuns: none runs on the data directory, or it has no Redis of its own.
        DataDirUnusable: the directory is not for this user to look into.
    """
    return _with(settings, "redis_url", running_redis_url)


def _with(settings: Settings, name: str, find: Callable[[Path], str]) -> Settings:
    if getattr(settings, name):
        return settings
    url = find(rules.data_dir(settings, os.environ))
    return msgspec.structs.replace(settings, **{name: url})
