"""The gateway and the database, of which it needs the symbols only."""

from collections.abc import Sequence

from core.market.symbol import Symbol
from storage.errors import DatabaseUnavailable
from storage.rows import SymbolRow
from tests.conftest import Eventually
from tests.integration.gateway.rig import gateway


async def test_a_database_that_comes_late_is_waited_for_and_a_lost_one_is_shown(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    away = True

    async def load() -> Sequence[SymbolRow]:
        await ping()
        return [SymbolRow(Symbol("DB:AAA"))]

    async def ping() -> None:
        if away:
            raise DatabaseUnavailable("here", "away")

    async with (
        gateway(redis_url, namespace, load_symbols=load, ping_database=ping) as rig,
        rig.client() as client,
    ):
        await eventually(lambda: rig.service.readiness.states()["database"].reason != "starting")
        assert "PostgreSQL at here: away" in rig.service.readiness.states()["database"].reason
        assert (await client.ask(action="subscribe", trades=["AAA"]))["trades"] == ["AAA"]

        away = False
        await eventually(lambda: rig.service.readiness.ready)
        assert rig.service.market.symbols() == ["DB:AAA"]
        away = True
        await eventually(lambda: not rig.service.readiness.ready)
