"""What is in a file of bars or ticks, column by column; and a row of CSV from that. Pure."""

import datetime as dt
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from core.market.timeframe import SECOND_NS

Table = Mapping[str, Sequence[Any]]
"""Rows in columns of one length, by name. Times are UNIX nanoseconds; None is no value."""

Values = Mapping[str, object]
"""One row by column: texts of a CSV file, what Parquet holds; None is no value."""


class Kind(enum.Enum):
    """What a column holds."""

    TEXT = "text"
    WHOLE = "whole"
    FLOAT = "float"
    FLAG = "flag"
    TIME = "time"


class Column(NamedTuple):
    """A column of a file."""

    name: str
    kind: Kind


BARS: Final = (
    Column("symbol", Kind.TEXT),
    Column("timeframe", Kind.TEXT),
    Column("time", Kind.TIME),
    Column("start_ns", Kind.WHOLE),
    Column("open", Kind.FLOAT),
    Column("high", Kind.FLOAT),
    Column("low", Kind.FLOAT),
    Column("close", Kind.FLOAT),
    Column("volume", Kind.FLOAT),
    Column("trades", Kind.WHOLE),
    Column("vwap", Kind.FLOAT),
    Column("rev", Kind.WHOLE),
    Column("gap", Kind.FLAG),
)
REPLAY: Final = (
    Column("symbol", Kind.TEXT),
    Column("trade_id", Kind.WHOLE),
    Column("event_ns", Kind.WHOLE),
    Column("side", Kind.TEXT),
    Column("price", Kind.FLOAT),
    Column("size", Kind.FLOAT),
)
"""Ticks as a replay reads them."""

TICKS: Final = (*REPLAY, Column("seq", Kind.WHOLE))
"""Ticks with all that is known of them."""


def header(columns: Sequence[Column]) -> str:
    """The first line of a CSV file."""
    return ",".join(column.name for column in columns) + "\n"


def lines(columns: Sequence[Column], table: Table) -> str:
    """Rows of *table* as lines of CSV; a float is told so that it is read back as it was."""
    texts = [_texts(column.kind, table[column.name]) for column in columns]
    return "".join(",".join(row) + "\n" for row in zip(*texts, strict=True))


def rfc3339(time_ns: int) -> str:
    """A time in UTC; with as many decimals of a second as it has."""
    whole, rest = divmod(time_ns, SECOND_NS)
    text = dt.datetime.fromtimestamp(whole, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else text + "Z"


def _texts(kind: Kind, values: Sequence[Any]) -> Iterator[str]:
    text = _TEXT[kind]
    return ("" if value is None else text(value) for value in values)


_TEXT: Final[Mapping[Kind, Callable[[Any], str]]] = {
    Kind.TEXT: str,
    Kind.WHOLE: str,
    Kind.FLOAT: repr,
    Kind.FLAG: lambda value: "true" if value else "false",
    Kind.TIME: rfc3339,
}
