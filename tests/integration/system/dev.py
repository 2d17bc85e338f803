"""Runs the real program, ``tickgate dev``, as a user does, and talks to it from outside."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.integration.system.programs import Program, running

_ADDRESS = r"open +(http://127\.0\.0\.1:\d+)/"


class Dev(Program):
    """One ``tickgate dev``."""

    async def address(self) -> str:
        """The page's, without the last slash, once it is served."""
        return (await self.said(_ADDRESS))[1]


@contextlib.asynccontextmanager
async def dev(*arguments: str, data_dir: Path, **environment: str) -> AsyncIterator[Dev]:
    """Start it on a free port; it is ended with the block."""
    command = ("dev", "--port", "0", "--data-dir", str(data_dir), *arguments)
    environ = {**os.environ, **environment}
    async with running(*command, program=Dev, environ=environ) as started:
        yield started


async def get(url: str, **parameters: object) -> Any:
    """A JSON answer, whatever its status."""
    texts = {name: str(value) for name, value in parameters.items()}
    async with aiohttp.ClientSession() as session, session.get(url, params=texts) as answer:
        return orjson.loads(await answer.read())


async def all_bars(address: str, symbols: Sequence[str], timeframe: str, limit: int) -> list[Any]:
    """Every bar, page by page, as (symbol, bar)."""
    found: list[Any] = []
    query: dict[str, object] = {
        "symbols": ",".join(symbols),
        "timeframe": timeframe,
        "start": "2015-01-01",
        "end": "2030-01-01",
        "limit": limit,
    }
    while True:
        page = await get(f"{address}/v1/bars", **query)
        assert "bars" in page, page
        found += [(symbol, bar) for symbol, bars in page["bars"].items() for bar in bars]
        if page["next_page_token"] is None:
            return found
        query["page_token"] = page["next_page_token"]
