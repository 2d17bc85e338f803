"""`tickgate migrate`: the database gets this program's schema."""

import asyncio

from core.runtime.config import Loaded
from storage.migrations import migrate
from tickgate.arguments import Arguments
from tickgate.output import say
from tickgate.settings import Settings


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Apply what is missing and say what was done."""
    report = asyncio.run(migrate(loaded.values.database_url))
    say(str(report))
    return 0
