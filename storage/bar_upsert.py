"""Upsert: puts bars into their tables exactly, and fast for one row as for a hundred thousand."""

import logging
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import psycopg

from core.market.bar import BarRow
from storage.bar_tables import copy_sql, upsert_sql
from storage.binary_copy import encode_rows
from storage.database import Connection
from storage.rows import bar_columns

_LOG = logging.getLogger(__name__)

COPY_FROM_ROWS: Final = 64
"""With fewer new bars the arrays are as fast: a copy takes three round trips more than they do."""

_timeframe_of = attrgetter("bar.timeframe")


async def upsert_bars(connection: Connection, rows: Sequence[BarRow]) -> None:
    """Store *rows*, each bar once and sorted by key, within the transaction of *connection*.

    A row with a smaller ``rev`` than the stored one leaves it. Bars that were never revised are
    new, save when a flush is repeated: they are copied straight into their tables, which is
    faster than any statement that looks for conflicts. When one is there already, the copy is
    undone (a savepoint) and all go the way of revisions: arrays, and ON CONFLICT.
    """
    new = [row for row in rows if row.bar.rev == 0]
    if len(new) < COPY_FROM_ROWS or not await _copied(connection, new):
        await _upsert(connection, rows)
    elif len(new) < len(rows):
        await _upsert(connection, [row for row in rows if row.bar.rev])


async def _copied(connection: Connection, rows: Sequence[BarRow]) -> bool:
    """Whether all of *rows* were new; if not, none of them was stored."""
    try:
        async with connection.transaction():
            for timeframe, some in groupby(sorted(rows, key=_timeframe_of), _timeframe_of):
                async with connection.cursor().copy(copy_sql(timeframe)) as copy:
                    await copy.write(encode_rows(some))
    except psycopg.errors.UniqueViolation:
        _LOG.debug("of %d bars some are stored already: upserting them", len(rows))
        return False
    connection.rows += len(rows)
    return True


async def _upsert(connection: Connection, rows: Sequence[BarRow]) -> None:
    for timeframe, some in groupby(sorted(rows, key=_timeframe_of), _timeframe_of):
        await connection.execute(upsert_sql(timeframe), bar_columns(list(some)))
