"""A database that is used only once its schema is this program's."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from storage.database import Connection, Database
from storage.migrations import check_schema
from tickgate.settings import Settings


class GatedDatabase(Database):
    """Roles start beside the migrations: until those are through, every call raises SchemaError.

    Roles wait for that as they do for a database that is away.
    """

    def __init__(self, settings: Settings, *, session: str = "", size: int | None = None) -> None:
        """A pool with the limits of *settings*; opens nothing yet. *session* names it.

        *size*: of so many connections instead of the settings' number.
        """
        super().__init__(
            settings.database_url,
            min_size=size or settings.db_pool_min,
            max_size=size or settings.db_pool_max,
            acquire_timeout_s=settings.db_acquire_timeout_s,
            statement_timeout_s=settings.db_statement_timeout_s,
            slow_query_s=settings.slow_query_ms / 1000,
            session=session,
        )
        self._checked = False

    async def fetch(
        self,
        name: LiteralString,
        sql: LiteralString,
        parameters: Sequence[Any] = (),
        *,
        timeout_s: float | None = None,
    ) -> list[tuple[Any, ...]]:
        await self._check()
        return await super().fetch(name, sql, parameters, timeout_s=timeout_s)

    @asynccontextmanager
    async def transaction(self, name: LiteralString) -> AsyncIterator[Connection]:
        await self._check()
        async with super().transaction(name) as connection:
            yield connection

    async def _check(self) -> None:
        if not self._checked:
            await check_schema(self._ungated())
            self._checked = True

    def _ungated(self) -> Database:
        """The same pool without the gate, for the check itself."""
        plain = Database.__new__(Database)
        plain.__dict__ = self.__dict__
        return plain
