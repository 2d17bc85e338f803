"""Tables: what CSV and Arrow readers make of an answer is what was stored."""

import io

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from core.market.bar import Bar
from core.market.bar_columns import BarColumns, columns_of
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from gateway.http.formats import Format
from gateway.http.tables import bars_table, encode_table, page_headers, trades_table

A, B = Symbol("COINBASE:BTC-USD"), Symbol("X:Ä")
NAMES = {A: "BTC/USD", B: "X:Ä"}
DAY = 1_625_270_400_000_000_000
BARS = [
    Bar(A, Timeframe.MIN_1, DAY, 0.1, 33820.0, 1e-8, 2.5, 12.0625, 211, 0.1 + 0.2, 3),
    Bar(A, Timeframe.MIN_1, DAY + MINUTE_NS, 1e22, 1e22, 1.0, 1.0, 1.0, 2**53, 1.0, gap=True),
    Bar(B, Timeframe.MIN_1, DAY, 2.0, 2.0, 2.0, 2.0, 2.0, 1, 2.0),
]
TRADES = [
    Tick(A, 42, 33795.5, 0.01, DAY + 1, Side.BUY, 1),
    Tick(A, NO_ID, 0.1, 1e-8, DAY + 1_500_000_000, Side.UNKNOWN, 2),
    Tick(B, -7, 2.0, 3.0, DAY, Side.SELL, 3),
]
BAR_ROWS = [
    {
        "symbol": NAMES[bar.symbol],
        "time": pd.Timestamp(bar.start_ns, tz="UTC"),
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "volume": bar.volume,
        "trades": bar.trades,
        "vwap": bar.vwap,
        "rev": bar.rev,
        "gap": bar.gap,
    }
    for bar in BARS
]


def arrow(table: list[object]) -> bytes:
    return encode_table(table, Format.ARROW)  # type: ignore[arg-type]


def test_bars_in_csv_have_the_columns_of_exported_files() -> None:
    text = encode_table(bars_table(columns_of(BARS), NAMES), Format.CSV).decode()

    assert text.splitlines() == [
        "symbol,time,open,high,low,close,volume,trades,vwap,rev,gap",
        "BTC/USD,2021-07-03T00:00:00Z,0.1,33820.0,1e-8,2.5,12.0625,211,0.30000000000000004,3,false",
        "BTC/USD,2021-07-03T00:01:00Z,1e22,1e22,1.0,1.0,1.0,9007199254740992,1.0,0,true",
        "X:Ä,2021-07-03T00:00:00Z,2.0,2.0,2.0,2.0,2.0,1,2.0,0,false",
    ]
    frame = pd.read_csv(io.StringIO(text), parse_dates=["time"])
    assert frame.to_dict("records") == BAR_ROWS


def test_bars_whose_columns_go_backwards_in_memory_are_tables_too() -> None:
    bars = columns_of(BARS[:2])
    turned = {name: column[::-1] for name, column in bars.arrays().items()}

    table = bars_table(BarColumns(runs=bars.runs, **turned), NAMES)

    backwards = BAR_ROWS[1::-1]
    assert pa.ipc.open_stream(arrow(table)).read_all().to_pylist() == backwards
    text = encode_table(table, Format.CSV).decode()
    assert pd.read_csv(io.StringIO(text), parse_dates=["time"]).to_dict("records") == backwards


def test_bars_in_arrow_open_with_their_types_in_pyarrow_pandas_and_polars() -> None:
    stream = arrow(bars_table(columns_of(BARS), NAMES))

    table = pa.ipc.open_stream(stream).read_all()
    utc = pa.timestamp("ns", tz="UTC")
    types = [
        pa.string(),
        utc,
        *[pa.float64()] * 5,
        pa.int64(),
        pa.float64(),
        pa.int64(),
        pa.bool_(),
    ]
    assert table.schema.types == types
    assert table.to_pylist() == BAR_ROWS
    assert table.to_pandas().to_dict("records") == BAR_ROWS
    frame = pl.read_ipc_stream(stream)
    assert frame.schema["time"] == pl.Datetime("ns", "UTC")
    assert frame["trades"].to_list() == [bar.trades for bar in BARS]


def test_trades_keep_their_nanoseconds_and_what_is_not_known_is_empty() -> None:
    text = encode_table(trades_table(TRADES, NAMES), Format.CSV).decode()
    table = pa.ipc.open_stream(arrow(trades_table(TRADES, NAMES))).read_all()

    assert text.splitlines() == [
        "symbol,time,price,size,trade_id,side",
        "BTC/USD,2021-07-03T00:00:00.000000001Z,33795.5,0.01,42,buy",
        "BTC/USD,2021-07-03T00:00:01.500000000Z,0.1,1e-8,,",
        "X:Ä,2021-07-03T00:00:00.000000000Z,2.0,3.0,-7,sell",
    ]
    assert table.column("time").cast(pa.int64()).to_pylist() == [t.event_ns for t in TRADES]
    times = pd.to_datetime(pd.read_csv(io.StringIO(text))["time"])
    assert times.tolist() == [pd.Timestamp(t.event_ns, tz="UTC") for t in TRADES]
    assert table.column("trade_id").to_pylist() == [42, None, -7]
    assert table.column("price").to_pylist() == [33795.5, 0.1, 2.0]


@pytest.mark.parametrize("table", [bars_table(columns_of([]), {}), trades_table([], {})])
def test_a_page_without_rows_has_its_columns(table: list[object]) -> None:
    read = pa.ipc.open_stream(arrow(table)).read_all()

    assert read.num_rows == 0
    assert read.schema.field("time").type == pa.timestamp("ns", tz="UTC")
    assert pl.read_ipc_stream(arrow(table)).height == 0
    csv = encode_table(table, Format.CSV)  # type: ignore[arg-type]
    assert csv.decode().strip() == ",".join(read.schema.names)


def test_where_the_next_page_is_stands_in_a_header() -> None:
    assert page_headers(None) == ()
    assert page_headers("abc") == (("X-Next-Page-Token", "abc"),)
