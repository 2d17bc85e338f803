"""What one writes in an afternoon: FastAPI, asyncpg, the default encoder. Served by uvicorn.

It reads the table of the 1-minute bars that tickgate reads, and answers with the same fields.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
from fastapi import FastAPI

_BARS = """
SELECT time, open, high, low, close, volume, trades, vwap, rev FROM bars_1min
WHERE symbol = $1 AND time BETWEEN $2 AND $3 ORDER BY time LIMIT $4
"""


@asynccontextmanager
async def _connected(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=2, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_connected)


@app.get("/v1/bars")
async def bars(symbols: str, start: datetime, end: datetime, limit: int = 1000) -> dict[str, Any]:
    """One symbol's bars, oldest first."""
    rows = await app.state.pool.fetch(_BARS, symbols, start, end, limit)
    found = [
        {
            "t": row["time"],
            "o": row["open"],
            "h": row["high"],
            "l": row["low"],
            "c": row["close"],
            "v": row["volume"],
            "n": row["trades"],
            "vw": row["vwap"],
            "rev": row["rev"],
            "final": True,
        }
        for row in rows
    ]
    return {"bars": {symbols: found}, "next_page_token": None}
