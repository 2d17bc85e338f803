"""The client's history against a real gateway: pages, frames, retries, words of errors."""

import asyncio
import gzip
import hashlib
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import pandas
import polars
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.market.timeframe import Timeframe
from tests.integration.gateway_http.rig import DAY, Rig, bar, running
from tests.integration.gateway_http.test_http_trades import log, trade
from tickgate.client import (
    AuthFailed,
    Bar,
    Client,
    HistoryError,
    MissingPackage,
    SymbolInfo,
    Unreachable,
)
from tickgate.client import history as history_module
from tickgate.client.messages import Gap, Trade
from tickgate.client.rows import Rows

T = TypeVar("T")
FIVE = Timeframe.MIN_5


@pytest.fixture
async def rig(embedded_migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    async with running(
        database_url=embedded_migrated_url, redis_url=redis_url, namespace=namespace
    ) as rig:
        yield rig


async def ask(call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    return await asyncio.to_thread(call, *args, **kwargs)


async def test_bars_of_a_span_come_as_messages_however_many_pages_they_take(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_PAGE", 3)
    await rig.save(*(bar(name, minute) for name in ("X:A", "Y:B") for minute in range(8)))
    client = Client(rig.base)

    bars = await ask(client.bars, ["b", "X:A"], "1Min", date(2021, 7, 3))
    some = await ask(
        client.bars, "X:A", "1Min", DAY + 120_000_000_000, datetime(2021, 7, 3, 0, 4, tzinfo=UTC)
    )
    newest = await ask(client.bars, "X:A", start="2021-07-03", sort="desc", limit=4)

    minute_ns = 60_000_000_000
    starts = [(row.symbol, (row.start_ns - DAY) // minute_ns) for row in bars]
    assert starts == [(name, minute) for name in ("X:A", "b") for minute in range(8)]
    assert bars[0] == Bar("X:A", "1Min", DAY, 100.0, 101.0, 99.0, 100.5, 2.0, 3, 100.0)
    assert [(row.start_ns - DAY) // minute_ns for row in some] == [2, 3, 4]
    assert [(row.start_ns - DAY) // minute_ns for row in newest] == [7, 6, 5, 4]


async def test_more_symbols_than_fit_into_a_request_are_asked_for_in_several(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_SYMBOLS_AT_ONCE", 2)
    names = [f"X:A{number}" for number in range(5)]
    await rig.save(*(bar(name, 0) for name in names))

    bars = await ask(Client(rig.base).bars, names, start="2021-07-03")
    mixed = ["X:A4", "x:a1", "X:A3", "X:A0", "X:A2"]
    some = await ask(Client(rig.base).bars, mixed, start="2021-07-03", limit=3)

    assert [row.symbol for row in bars] == names
    assert [row.symbol for row in some] == ["X:A0", "x:a1", "X:A2"]


@pytest.mark.parametrize("symbols", [None, 5, [None]])
def test_symbols_that_are_no_text_are_refused_before_anything_is_asked(symbols: Any) -> None:
    with pytest.raises(TypeError, match="symbols: expected text"):
        Client("http://127.0.0.1:1").bars(symbols)


async def test_bars_become_frames_of_pandas_and_polars_with_exact_times(rig: Rig) -> None:
    await rig.save(*(bar("X:A", 5 * number, timeframe=FIVE) for number in range(3)))
    bars = await ask(Client(rig.base).bars, "X:A", "5Min", "2021-07-03")

    of_pandas, of_polars = bars.to_pandas(), bars.to_polars()

    names = ["symbol", "timeframe", "start", "open", "high", "low", "close", "volume", "trades",
             "vwap", "rev", "final", "gap"]  # fmt: skip
    assert list(of_pandas.columns) == names == of_polars.columns
    assert str(of_pandas["start"].dtype) == "datetime64[ns, UTC]"
    assert of_polars["start"].dtype == polars.Datetime("ns", "UTC")
    starts = [row.start_ns for row in bars]
    assert of_pandas["start"].astype("int64").tolist() == starts
    assert of_polars["start"].cast(polars.Int64).to_list() == starts
    assert of_pandas["close"].tolist() == of_polars["close"].to_list() == [100.5, 105.5, 110.5]


def test_ids_of_trades_of_which_some_have_none_stay_the_same_in_frames() -> None:
    ids = [2**62 + 1, None, 2**53 + 1]
    trades = Rows(Trade, [Trade("X:A", 1.5, 2.0, 10**18, each) for each in ids])

    assert [None if pandas.isna(each) else int(each) for each in trades.to_pandas()["id"]] == ids
    assert trades.to_polars()["id"].to_list() == ids


async def test_no_bars_become_empty_frames_of_the_same_shape(rig: Rig) -> None:
    await rig.save(bar("X:A", 0))
    none = await ask(Client(rig.base).bars, "X:A", "1Min", "2020-01-01", "2020-01-02")
    some = await ask(Client(rig.base).bars, "X:A", "1Min", "2021-07-03")

    assert list(none) == []
    assert none.to_polars().schema == some.to_polars().schema
    assert none.to_pandas().dtypes.to_dict() == some.to_pandas().dtypes.to_dict()
    assert isinstance(none.to_pandas(), pandas.DataFrame)


def test_frames_of_trades_have_the_same_types_whatever_the_venue_tells() -> None:
    told = [Trade("X:A", 1.5, 2.0, 10**18, 7, "B")]
    untold = [Trade("X:A", 1.5, 2.0, 10**18)]

    frames = [Rows(Trade, trades) for trades in (told, untold, told + untold, [])]

    assert len({str(rows.to_pandas().dtypes.to_dict()) for rows in frames}) == 1
    assert {str(rows.to_polars().schema) for rows in frames} == {str(frames[0].to_polars().schema)}
    assert str(frames[0].to_pandas()["id"].dtype) == "Int64"


def test_other_messages_become_frames_as_well() -> None:
    gaps = Rows(Gap, [Gap("X:A", 1, 2, "lost", ("trades",))])

    assert gaps.to_pandas()["channels"].tolist() == [("trades",)]
    assert gaps.to_polars()["state"].to_list() == ["lost"]


async def test_a_frame_without_its_package_says_what_to_install(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = await ask(Client(rig.base).bars, "X:A")
    monkeypatch.setitem(sys.modules, "polars", None)

    with pytest.raises(MissingPackage, match="pip install polars"):
        bars.to_polars()
    monkeypatch.undo()
    assert importlib.import_module("polars") is polars


async def test_latest_values_and_symbols_are_typed(rig: Rig) -> None:
    await rig.save(bar("X:A", 3), bar("X:B", 4))
    client = Client(rig.base)

    latest = await ask(client.latest_bars, ["X:A", "b"])
    trades = await ask(client.latest_trades, ["X:A"])
    snapshots = await ask(client.snapshots, ["X:A"])
    symbols = await ask(client.symbols, "a")
    status = await ask(client.status)

    assert {name: row.open for name, row in latest.items()} == {"X:A": 103.0, "b": 104.0}
    assert trades == {}
    assert snapshots["X:A"].minute_bar == latest["X:A"]
    assert symbols == [SymbolInfo("X:A", "X", "A")]
    assert status["version"] == "1.2.3"


async def test_trades_of_a_span_say_what_the_log_does_not_hold(rig: Rig) -> None:
    await log(rig, [trade(0, 1), trade(1, 2)])
    client = Client(rig.base)

    whole = await ask(client.trades, "btc-usd", "2021-07-03", "2021-07-04")
    early = await ask(client.trades, "btc-usd", "2021-07-02", "2021-07-04", limit=1)

    assert [(row.id, row.price, row.taker) for row in whole] == [(1, 100.0, "B"), (2, 101.0, "B")]
    assert whole.missing == {}
    assert whole.to_pandas()["time"].astype("int64").tolist() == [row.time_ns for row in whole]
    assert [row.id for row in early] == [1]
    assert "2021-07-03" in early.missing["btc-usd"]


async def test_what_is_refused_says_what_is_accepted(rig: Rig) -> None:
    with pytest.raises(HistoryError, match="timeframe") as refused:
        await ask(Client(rig.base).bars, "X:A", "2Weeks")

    assert refused.value.code == 400


async def test_a_key_is_shown_and_a_wrong_one_is_refused(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    async with running(
        database_url=embedded_migrated_url,
        redis_url=redis_url,
        namespace=namespace,
        keys=f"KEY:{hashlib.sha256(b's3cret').hexdigest()}",
    ) as rig:
        assert await ask(Client(rig.base, key="KEY", secret="s3cret").symbols) == []
        assert await ask(Client(rig.base, token="KEY:s3cret").symbols) == []
        for client in (Client(rig.base), Client(rig.base, key="KEY", secret="wrong")):
            with pytest.raises(AuthFailed):
                await ask(client.symbols)


async def test_a_gateway_that_is_not_there_is_said_in_words(free_port: int) -> None:
    client = Client(f"http://127.0.0.1:{free_port}", retries=0)

    with pytest.raises(Unreachable, match="is the gateway running there"):
        await ask(client.symbols)


async def test_a_request_is_made_again_as_the_gateway_asks(free_port: int) -> None:
    answers = iter(
        [
            web.json_response(
                {"code": 429, "message": "slow down"}, status=429, headers={"Retry-After": "0"}
            ),
            web.Response(status=502, text="<html>a proxy</html>", headers={"Retry-After": "0"}),
            web.Response(
                body=gzip.compress(b'{"symbols":[]}'), headers={"Content-Encoding": "gzip"}
            ),
            web.Response(text="no JSON"),
            web.Response(status=404, text=""),
        ]
    )

    async def answer(_: web.Request) -> web.Response:
        return next(answers)

    app = web.Application()
    app.router.add_get("/v1/symbols", answer)
    async with TestServer(app, port=free_port) as server:
        client = Client(str(server.make_url("/")))
        assert await ask(client.symbols) == []
        with pytest.raises(HistoryError, match="no answer of a gateway"):
            await ask(client.symbols)
        with pytest.raises(HistoryError, match="HTTP 404"):
            await ask(client.symbols)


def saying(
    answers: Iterator[bytes],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers))
        writer.close()

    return answer


async def test_an_answer_that_is_cut_off_without_a_length_is_asked_for_again(
    free_port: int,
) -> None:
    head, packed = b" OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(b'{"symbols":[]}')
    cut, damaged = packed[:-12], packed[:12] + b"\xff" * 9
    bodies = [b"200" + head + body for body in (cut, damaged, packed, cut)]
    answers = (b"HTTP/1.1 " + body for body in [*bodies, b"404" + head + cut])

    async with await asyncio.start_server(saying(answers), "127.0.0.1", free_port):
        client, impatient = (
            Client(f"http://127.0.0.1:{free_port}", retries=retries) for retries in (2, 0)
        )
        assert await ask(client.symbols) == []
        with pytest.raises(Unreachable, match="the answer is cut off or damaged"):
            await ask(impatient.symbols)
        with pytest.raises(HistoryError, match="HTTP 404 OK"):
            await ask(impatient.symbols)


async def test_a_refusal_has_its_words_packed_and_its_status_cut_off(free_port: int) -> None:
    packed = gzip.compress(b'{"code":403,"message":"not among those that your key may read"}')
    answers = iter(
        [
            b"HTTP/1.1 403 Forbidden\r\nContent-Encoding: gzip\r\n"
            + b"Content-Length: %d\r\n\r\n" % len(packed)
            + packed,
            b'HTTP/1.1 500 Oh No\r\nContent-Length: 99\r\n\r\n{"code":500',
        ]
    )

    async with await asyncio.start_server(saying(answers), "127.0.0.1", free_port):
        client = Client(f"http://127.0.0.1:{free_port}", retries=0)
        with pytest.raises(HistoryError, match="not among those that your key may read"):
            await ask(client.symbols)
        with pytest.raises(HistoryError, match="HTTP 500 Oh No"):
            await ask(client.symbols)
