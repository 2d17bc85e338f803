"""`tickgate migrate`: the database gets this program's schema."""

import asyncio
import logging

from core.runtime.config import Loaded
from storage.errors import SchemaError
from storage.migrations import migrate
from tickgate.arguments import Arguments
from tickgate.output import complain, say
from tickgate.settings import Settings


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Apply what is missing and say what was done.

    A database that no attempt can migrate, because it is newer, gives exit code 2.
    """
    logging.getLogger("storage.migrations").setLevel(logging.WARNING)  # the report is printed
    try:
        report = asyncio.run(migrate(loaded.values.database_url))
    except SchemaError as exc:
        complain(f"tickgate migrate: {exc}")
        return 2
    say(str(report))
    return 0
