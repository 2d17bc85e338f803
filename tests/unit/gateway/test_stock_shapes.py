"""Field by field as docs.alpaca.markets, Real-time Stock Data, has them."""

import datetime as dt
from typing import Any

import msgspec
import pytest

from core.market.bar import Bar
from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side
from core.market.timeframe import Timeframe
from gateway import encode
from gateway.channels import Codec
from gateway.notices import notice_item
from gateway.stock_shapes import whole
from tests.unit.gateway.listeners import Desk, Listener

STOCK = Symbol("ALP:AAPL")
AT_NS = 1_614_009_104_208_000_000  # 2021-02-22T15:51:44.208Z
ON_TIME = dt.datetime(2021, 2, 22, 15, 51, 44, 208_000, dt.UTC)
CODECS = pytest.mark.parametrize("codec", [Codec.STOCK_JSON, Codec.STOCK_MSGPACK])


def decode(payload: bytes, codec: Codec) -> Any:
    return (msgspec.json if codec.is_text else msgspec.msgpack).decode(payload)


def row(ident: int = 96_921, size: float = 1.0) -> tuple[int, int, int, int, float, float, int]:
    return (0, AT_NS, 1, ident, 126.55, size, int(Side.BUY))


@CODECS
def test_a_trade(codec: Codec) -> None:
    made = decode(encode.trades([row()], "AAPL", codec), codec)

    time = "2021-02-22T15:51:44.208Z" if codec.is_text else ON_TIME
    assert list(made.items()) == [
        ("T", "t"),
        ("S", "AAPL"),
        ("i", 96_921),
        ("x", "E"),
        ("p", 126.55),
        ("s", 1),
        ("c", []),
        ("z", "O"),
        ("t", time),
    ]
    assert type(made["i"]) is type(made["s"]) is int


@CODECS
def test_a_trade_without_an_id_leaves_it_out(codec: Codec) -> None:
    made = decode(encode.trades([row(NO_ID)], "AAPL", codec), codec)

    assert "i" not in made


def test_many_trades_are_the_same_as_each() -> None:
    desk, client = Desk(STOCK), Listener(Codec.STOCK_JSON)
    desk.market.declare({"ALP": True})
    desk.subscribe(client, "AAPL")

    desk.trade(*[STOCK] * 100)
    desk.flush()

    assert client.ids == list(range(1, 101))
    assert {tuple(message) for message in client.messages} == {tuple("TSixpsczt")}
    assert {message["s"] for message in client.messages} == {1}


@CODECS
def test_a_bar_has_a_whole_volume(codec: Codec) -> None:
    values = (388.985, 389.13, 388.975, 389.12, 49_378.0, 461, 389.062639)
    bar = Bar(STOCK, Timeframe.MIN_1, AT_NS // 60_000_000_000 * 60_000_000_000, *values, final=True)

    made = decode(encode.bars([bar], "b", "SPY", codec), codec)

    assert tuple(made) == ("T", "S", "o", "h", "l", "c", "v", "t", "n", "vw")
    assert (made["v"], made["n"], made["vw"]) == (49_378, 461, 389.062639)
    assert type(made["v"]) is int


@CODECS
def test_what_is_said_of_trades_has_whole_sizes_and_no_taker(codec: Codec) -> None:
    correction = Correction(STOCK, AT_NS, 7, 1.5, 100.0, 8, 1.6, 200.0)
    cancel = Cancel(STOCK, AT_NS, 9, 1.5, 100.0, Side.BUY)

    corrected, cancelled = [
        decode(notice_item(notice, "AAPL", codec), codec) for notice in (correction, cancel)
    ]

    assert [type(corrected[name]) for name in ("oi", "os", "ci", "cs")] == [int] * 4
    assert tuple(corrected) == (
        "T",
        "S",
        "x",
        "oi",
        "op",
        "os",
        "oc",
        "ci",
        "cp",
        "cs",
        "cc",
        "t",
        "z",
    )
    assert tuple(cancelled) == ("T", "S", "i", "x", "p", "s", "a", "t", "z")
    assert type(cancelled["s"]) is int


@pytest.mark.parametrize(
    ("size", "expected"), [(3.0, 3), (0.5, 0.5), (2.0**60, 2.0**60), (-(2.0**60), -(2.0**60))]
)
def test_what_is_no_whole_number_is_not_made_one(size: float, expected: float) -> None:
    assert (whole(size), type(whole(size))) == (expected, type(expected))
