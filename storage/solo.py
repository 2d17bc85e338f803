"""SoloDatabase: one connection to PostgreSQL, for statements that must not wait for any other."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg

from storage.database import AWAY, CONNECT_OPTIONS, one_line, server_of
from storage.errors import DatabaseUnavailable, SchemaError

_ABANDON_S: Final = 0.5


class SoloDatabase:
    """Made at the first statement, and anew at the next after one failed. One task owns it.

    Unlike a pool it does not wait longer and longer between attempts to connect: the caller
    decides when it tries again.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """*timeout_s* bounds a statement; connecting to a host takes 3 s at most."""
        self.server = server_of(url)
        self._url, self._timeout_s = url, timeout_s
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def fetch(
        self, name: LiteralString, sql: LiteralString, parameters: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement on its own and read its rows.

        Raises:
            DatabaseUnavailable: the server is away, or too slow; it may have been carried out.
            SchemaError: a table is missing.
        """
        try:
            return await self._fetch(sql, parameters)
        except AWAY as exc:
            await self.close()
            raise DatabaseUnavailable(self.server, f"{name}: {one_line(exc)}") from exc
        except TimeoutError as exc:
            await self.close()
            reason = f"{name}: no answer within {self._timeout_s:g} s"
            raise DatabaseUnavailable(self.server, reason) from exc
        except psycopg.errors.UndefinedTable as exc:
            raise SchemaError(f"{one_line(exc)}; run `tickgate migrate`") from exc

    async def close(self) -> None:
        """Drop the connection; the next statement makes another."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _fetch(self, sql: LiteralString, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(self._url, **CONNECT_OPTIONS)
        # As in Database: the first timeout cancels on the server, the second gives up on it.
        limit_s = self._timeout_s
        async with asyncio.timeout(limit_s + _ABANDON_S), asyncio.timeout(limit_s):
            cursor = await self._connection.execute(sql, parameters)
            return await cursor.fetchall() if cursor.description else []
