"""The servers of the `tickgate dev` that runs: for commands that were told no URL."""

import os

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
    if settings.database_url:
        return settings
    url = running_database_url(rules.data_dir(settings, os.environ))
    return msgspec.structs.replace(settings, database_url=url)


def with_redis(settings: Settings) -> Settings:
    """*settings* with a Redis server: where none is named, that of the `tickgate dev` that runs.

    Raises:
        NothingRuns: none runs on the data directory, or it has no Redis of its own.
        DataDirUnusable: the directory is not for this user to look into.
    """
    if settings.redis_url:
        return settings
    url = running_redis_url(rules.data_dir(settings, os.environ))
    return msgspec.structs.replace(settings, redis_url=url)
