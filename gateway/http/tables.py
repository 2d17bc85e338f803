"""Bars and trades as tables, for notebooks: CSV, and Arrow's stream format. Pure.

Columns are named as in the files that ``tickgate export`` writes.
Source: Apache Arrow, "IPC Streaming Format".
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import nanoarrow as na
import numpy as np
import numpy.typing as npt
from nanoarrow.ipc import StreamWriter

from core.market.bar_columns import BarColumns
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from gateway.http.answers import window_texts
from gateway.http.formats import Format

_SIDES: Final[Mapping[Side, str]] = {Side.UNKNOWN: "", Side.BUY: "buy", Side.SELL: "sell"}
_ENCODER: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Column:
    """A named column: Arrow's type and buffers, and the same values as texts of CSV."""

    name: str
    type: Any
    buffers: Sequence[Any]
    texts: Sequence[str]


def bars_table(bars: BarColumns, spellings: Mapping[Symbol, str]) -> list[Column]:
    """A page of bars under the caller's names of the symbols."""
    names = [spellings[symbol] for symbol, _ in bars.runs]
    counts = [count for _, count in bars.runs]
    return [
        _text("symbol", np.repeat(np.array(names, dtype=object), counts).tolist()),
        _time("time", bars.start_ns, window_texts(bars.start_ns)),
        *(_number(name, getattr(bars, name)) for name in _BAR_NUMBERS),
        _flag("gap", bars.gap),
    ]


def trades_table(trades: Sequence[Tick], spellings: Mapping[Symbol, str]) -> list[Column]:
    """A page of trades under the caller's names of the symbols."""
    times_ns = np.array([tick.event_ns for tick in trades], np.int64)
    ids = np.array([tick.trade_id for tick in trades], np.int64)
    return [
        _text("symbol", [spellings[tick.symbol] for tick in trades]),
        _time("time", times_ns, _texts_of(times_ns)),
        _number("price", np.array([tick.price for tick in trades], np.float64)),
        _number("size", np.array([tick.size for tick in trades], np.float64)),
        _optional("trade_id", ids, ids != NO_ID),
        _text("side", [_SIDES[tick.side] for tick in trades]),
    ]


def encode_table(table: Sequence[Column], form: Format) -> bytes:
    """*table* as CSV or Arrow."""
    return csv_of(table) if form is Format.CSV else arrow_of(table)


def page_headers(token: str | None) -> tuple[tuple[str, str], ...]:
    """Where the next page is, of an answer whose body has no place for it."""
    return () if token is None else (("X-Next-Page-Token", token),)


def csv_of(table: Sequence[Column]) -> bytes:
    """Comma-separated values: a line of names, then one a row; floats read back as they were."""
    head = ",".join(column.name for column in table)
    rows = map(",".join, zip(*(column.texts for column in table), strict=True))
    return ("\n".join([head, *rows]) + "\n").encode()


def arrow_of(table: Sequence[Column]) -> bytes:
    """A stream of one schema and one record batch; without rows it has the schema alone."""
    n = len(table[0].texts)
    schema = na.struct({column.name: column.type for column in table})
    children = [na.c_array_from_buffers(c.type, n, c.buffers) for c in table]
    batch = na.c_array_from_buffers(schema, n, [None], children=children)
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_stream(batch)
    return out.getvalue()


_BAR_NUMBERS: Final = ("open", "high", "low", "close", "volume", "trades", "vwap", "rev")


def _text(name: str, texts: Sequence[str]) -> Column:
    encoded = [text.encode() for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    return Column(name, na.string(), [None, ends, b"".join(encoded)], texts)


def _time(name: str, times_ns: npt.NDArray[np.int64], texts: Sequence[str]) -> Column:
    # A column that was turned round is a view, which goes backwards in memory.
    buffers = [None, np.ascontiguousarray(times_ns)]
    return Column(name, na.timestamp("ns", timezone="UTC"), buffers, texts)


def _texts_of(times_ns: npt.NDArray[np.int64]) -> list[str]:
    """Times as texts of one shape, nine decimals: pandas reads no column that mixes several."""
    texts: list[str] = np.datetime_as_string(times_ns.view("M8[ns]"), timezone="UTC").tolist()
    return texts


def _number(name: str, values: npt.NDArray[Any]) -> Column:
    kind = na.float64() if values.dtype == np.float64 else na.int64()
    return Column(name, kind, [None, np.ascontiguousarray(values)], _numbers(values))


def _optional(name: str, values: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> Column:
    """Whole numbers, of which some are not known."""
    texts = [str(value) if is_known else "" for value, is_known in zip(values, known, strict=True)]
    return Column(name, na.int64(), [_bits(known), values], texts)


def _flag(name: str, values: npt.NDArray[np.bool_]) -> Column:
    texts = ["true" if value else "false" for value in values.tolist()]
    return Column(name, na.bool_(), [None, _bits(values)], texts)


def _bits(values: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.packbits(values, bitorder="little")


def _numbers(values: npt.NDArray[Any]) -> list[str]:
    """Shortest texts that read back the same; all in one go, which is ten times as fast."""
    if not len(values):
        return []
    return _ENCODER.encode(values.tolist())[1:-1].decode().split(",")
