"""/v1/trades, and the forms of answers for notebooks."""

import io
from collections.abc import Sequence

import aiohttp
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from core.market.amended import Amendment
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from storage.bars import Checkpoint, FlushBatch
from storage.keys import shard_of
from storage.rows import LoggedTicks
from storage.tick_codec import encode_slots
from tests.contract.storage.market import own
from tests.integration.gateway_http.rig import DAY, Rig, bar

BTC, ETH = Symbol("COINBASE:BTC-USD"), Symbol("COINBASE:ETH-USD")
MINUTE_NS = 60_000_000_000
TODAY = {"start": "2021-07-03", "end": "2021-07-04"}
ARROW = "application/vnd.apache.arrow.stream"


def trade(minute: float, trade_id: int, symbol: Symbol = BTC) -> Tick:
    event_ns = DAY + int(minute * MINUTE_NS)
    return Tick(symbol, trade_id, 100.0 + minute, 0.5, event_ns, Side.BUY, trade_id)


async def log(rig: Rig, ticks: Sequence[Tick], said: Sequence[Amendment] = ()) -> None:
    """Log *ticks*, which are all that there ever was from the start of the day on."""
    shards = sorted({shard_of(tick.symbol, 16) for tick in ticks})
    await own(rig.database, dict.fromkeys(shards, 1))
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    parts = []
    for shard in shards:
        some = [tick for tick in ticks if shard_of(tick.symbol, 16) == shard]
        slots = encode_slots([decode_block(encode_block(meta, some))])
        parts += [LoggedTicks(shard, 1, 1, slot) for slot in slots]
    batch = FlushBatch(
        checkpoints=[Checkpoint(shard, 1, 1, b"", b"") for shard in shards],
        log=parts,
        covered=dict.fromkeys(shards, DAY),
        amendments=said,
        last_trades=ticks,
    )
    await rig.store.flush(batch)
    rig.market.add_symbols([tick.symbol for tick in ticks])


async def raw(
    rig: Rig, path: str, accept: str, **params: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    async with rig.session.get(rig.base + path, params=params, headers={"Accept": accept}) as found:
        return found, await found.read()


async def test_trades_are_paged_as_they_now_are_and_what_is_not_kept_is_said(both: Rig) -> None:
    ticks = [trade(0.5, 1), trade(1, 2), trade(1.5, 3), trade(7, 4), trade(2, 5, ETH)]
    said = [
        Correction(BTC, DAY + MINUTE_NS, 1, 100.5, 0.5, 9, 7.25, 0.25),
        Cancel(BTC, DAY + MINUTE_NS, 2, 101.0, 0.5),
    ]
    await log(both, ticks, said)
    query = {"symbols": "btc/usd,ETH-USD", "limit": "2"} | TODAY

    status, first = await both.get("/v1/trades", **query)
    _, second = await both.get("/v1/trades", **query, page_token=first["next_page_token"])
    _, newest = await both.get("/v1/trades", **query, sort="desc", format="json")
    _, older = await both.get("/v1/trades", symbols="BTC-USD", start="2021-07-02")
    _, none = await both.get("/v1/trades", symbols="SIM:NONE", **TODAY)

    assert status == 200
    assert first["trades"] == {
        "btc/usd": [
            {"t": "2021-07-03T00:00:30Z", "p": 7.25, "s": 0.25, "i": 9, "tks": "B"},
            {"t": "2021-07-03T00:01:30Z", "p": 101.5, "s": 0.5, "i": 3, "tks": "B"},
        ]
    }
    assert [[t["i"] for t in some] for some in second["trades"].values()] == [[4], [5]]
    assert second["next_page_token"] is None
    assert "missing" not in second
    assert [t["i"] for t in newest["trades"]["btc/usd"]] == [4, 3]
    words = "trades before 2021-07-03T00:00:00Z are not kept, or not all of them"
    assert older["missing"] == {"BTC-USD": words}
    assert none == {
        "trades": {},
        "next_page_token": None,
        "missing": {"SIM:NONE": "its trades are not kept, or none came yet; here is what there is"},
    }


async def test_bars_and_trades_come_as_csv_and_arrow_for_who_asks(rig: Rig) -> None:
    await log(rig, [trade(0, 1), trade(1, 2), trade(2, 3)])
    await rig.save(*(bar(BTC, minute) for minute in range(5)))
    query = {"symbols": "BTC-USD"} | TODAY
    _, page = await rig.get("/v1/bars", **query)
    rows = page["bars"]["BTC-USD"]

    head, csv = await raw(rig, "/v1/bars", "text/csv", **query)
    _, stream = await raw(rig, "/v1/bars", f"text/csv;q=0.5, {ARROW}", **query)
    _, trades = await raw(rig, "/v1/trades", ARROW, **query)

    frame = pd.read_csv(io.BytesIO(csv), parse_dates=["time"])
    assert (head.status, head.content_type) == (200, "text/csv")
    assert frame["close"].tolist() == [row["c"] for row in rows]
    assert frame["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").tolist() == [row["t"] for row in rows]
    table = pa.ipc.open_stream(stream).read_all()
    assert table.column("close").to_pylist() == [row["c"] for row in rows]
    assert table.column("symbol").to_pylist() == ["BTC-USD"] * 5
    assert pl.read_ipc_stream(trades)["trade_id"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(("path", "column"), [("/v1/bars", "close"), ("/v1/trades", "price")])
async def test_pages_of_tables_are_linked_by_a_header(rig: Rig, path: str, column: str) -> None:
    await log(rig, [trade(minute, minute) for minute in range(5)])
    await rig.save(*(bar(BTC, minute) for minute in range(5)))
    found: list[float] = []
    token: dict[str, str] = {}
    for _ in range(3):
        query = {"symbols": "BTC-USD", "limit": "2", "format": "csv", "start": "2021-07-02"}
        page, csv = await raw(rig, path, "text/html", **query, **token)
        found += pd.read_csv(io.BytesIO(csv))[column].tolist()
        if "X-Next-Page-Token" not in page.headers:
            break
        token = {"page_token": page.headers["X-Next-Page-Token"]}

    assert found == [100.0 + minute + (0.5 if column == "close" else 0) for minute in range(5)]
    if path == "/v1/trades":
        assert page.headers["X-Missing"].startswith("BTC-USD: trades before 2021-07-03")


async def test_who_takes_none_of_the_forms_is_told_what_there_is(rig: Rig) -> None:
    page, body = await raw(rig, "/v1/bars", "text/html", symbols="SIM:A")
    status, wrong = await rig.get("/v1/trades", symbols="SIM:A", format="xls")

    assert (page.status, page.content_type) == (406, "application/json")
    assert b"takes none of application/json, text/csv, application/vnd.apache.arrow.stream" in body
    assert status == 400
    assert wrong["message"] == (
        "parameter format: 'xls' is not accepted; expected one of json, csv, arrow"
    )
