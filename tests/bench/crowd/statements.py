"""What a database was asked: PostgreSQL's own log of every statement."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psycopg

_MARKS = ("statement: ", "execute ")  # simple and extended protocol


class StatementLog:
    """Statements that the server has logged since :meth:`start`, by their text."""

    def __init__(self, log: Path, url: str) -> None:
        self._log, self._url = log, url

    def start(self) -> None:
        """Have all sessions that begin from now on logged."""
        with psycopg.connect(self._url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET log_statement = 'all'")
            admin.execute("SELECT pg_reload_conf()")

    @property
    def position(self) -> int:
        """Where the log ends now."""
        return self._log.stat().st_size

    def between(self, start: int, end: int) -> Counter[str]:
        """How often which statement was logged between two positions."""
        text = self._log.read_bytes()[start:end].decode(errors="replace")
        return count_statements(text.splitlines())


def count_statements(lines: Iterable[str]) -> Counter[str]:
    """The statements among lines of a server's log; a longer one counts by its first line."""
    found: Counter[str] = Counter()
    for line in lines:
        _, logged, rest = line.partition("LOG:  ")
        if logged and rest.startswith(_MARKS):
            found[rest.partition(": ")[2].strip()] += 1
    return found
