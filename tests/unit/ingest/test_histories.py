import json
from typing import Any

import pytest

from core.market.tick import Side, Tick
from ingest.errors import HistoryError
from ingest.history import TradeHistory, Want, make_history
from ingest.spec import VENUES

TICKERS = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}
SYMBOLS = {
    "coinbase": "COINBASE:BTC-USD", "binance": "BINANCE:BTCUSDT", "kraken": "KRAKEN:BTC-USD",
}  # fmt: skip
T_NS = 1_688_669_597 * 10**9


def want(feed: str, first: int, last: int, since_ns: int = T_NS) -> Want:
    return Want(TICKERS[feed], first, last, since_ns)


def row(feed: str, trade_id: int) -> Any:
    """As the venues' references show a trade, at 827 ms past the second."""
    if feed == "coinbase":
        return {
            "time": "2023-07-06T18:53:17.827736Z", "trade_id": trade_id, "price": "30243.40000000",
            "size": "0.34507674", "side": "sell",
        }  # fmt: skip
    if feed == "binance":
        return {
            "id": trade_id, "price": "30243.40000000", "qty": "0.34507674", "isBestMatch": True,
            "quoteQty": "48.000012", "time": 1688669597827, "isBuyerMaker": False,
        }  # fmt: skip
    return ["30243.40000", "0.34507674", 1688669597.8277369, "b", "m", "", trade_id]


def body(feed: str, *ids: int, last: int = T_NS + 10**9) -> bytes:
    rows = [row(feed, trade_id) for trade_id in ids]
    if feed == "kraken":
        return json.dumps({"error": [], "result": {"XXBTZUSD": rows, "last": str(last)}}).encode()
    return json.dumps(rows[::-1] if feed == "coinbase" else rows).encode()


@pytest.mark.parametrize("feed", VENUES)
def test_a_page_holds_the_wanted_trades_in_order(feed: str) -> None:
    history = make_history(feed)

    page = history.read(want(feed, 6, 7), body(feed, 5, 6, 7, 8))

    at_ns = T_NS + {"coinbase": 827_736_000, "binance": 827_000_000, "kraken": 827_736_000}[feed]
    symbol = history.symbol(TICKERS[feed])
    assert symbol == SYMBOLS[feed]
    assert page.rest is None
    assert page.ticks == [
        Tick(symbol, trade_id, 30243.4, 0.34507674, at_ns, Side.BUY, trade_id)
        for trade_id in (6, 7)
    ]


@pytest.mark.parametrize("feed", VENUES)
@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b'{"no":1}', b'[{"id":-1}]', b'{"error":[],"result":{"X":[]}}']
)
def test_what_is_no_answer_is_said_to_be_none(feed: str, answer: bytes) -> None:
    history = make_history(feed)

    with pytest.raises(HistoryError, match=feed) as caught:
        history.read(want(feed, 6, 7), answer)

    assert caught.value.retryable
    assert not caught.value.busy


@pytest.mark.parametrize(
    ("feed", "path"),
    [
        ("coinbase", "/products/BTC-USD/trades?after=8&limit=2"),
        ("binance", "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=6&limit=2"),
        ("kraken", f"/0/public/Trades?pair=XBTUSD&since={T_NS - 1}&count=1000"),
    ],
)
def test_each_venue_is_asked_its_own_way(feed: str, path: str) -> None:
    assert make_history(feed).path(want(feed, 6, 7)) == path


def test_coinbase_is_asked_from_the_oldest_trade_on_though_it_pages_backwards() -> None:
    history = make_history("coinbase")
    wanted = want("coinbase", 1_001, 3_500)

    assert history.path(wanted) == "/products/BTC-USD/trades?after=2001&limit=1000"
    assert history.read(wanted, b"[]").rest == want("coinbase", 2_001, 3_500)


def test_binance_is_asked_on_behind_what_it_answered() -> None:
    history, wanted = make_history("binance"), want("binance", 1, 5_000)

    assert history.read(wanted, body("binance", 1, 2)).rest == want("binance", 1_001, 5_000)
    jumped = history.read(wanted, body("binance", 4_000))  # what is older is not kept
    assert jumped.rest == want("binance", 4_001, 5_000)
    assert history.read(wanted, b"[]").rest is None


def test_binances_side_is_the_takers() -> None:
    trade = row("binance", 6) | {"isBuyerMaker": True}

    page = make_history("binance").read(want("binance", 6, 6), json.dumps([trade]).encode())

    assert page.ticks[0].side is Side.SELL


def test_kraken_is_asked_on_by_time_until_it_has_no_more() -> None:
    history, wanted = make_history("kraken"), want("kraken", 6, 9)

    page = history.read(wanted, body("kraken", 4, 5, 6, last=T_NS + 5))
    assert [tick.trade_id for tick in page.ticks] == [6]
    assert page.rest == want("kraken", 7, 9, T_NS + 5)  # others of that very time may follow
    assert page.rest is not None
    assert f"since={T_NS + 4}&" in history.path(page.rest)
    assert history.read(page.rest, body("kraken", 6, last=T_NS + 5)).rest is None
    assert history.read(wanted, body("kraken", 7, last=T_NS)).rest is None


def test_kraken_is_asked_past_a_whole_page_of_one_time() -> None:
    history, wanted = make_history("kraken"), want("kraken", 6, 2_000)

    page = history.read(wanted, body("kraken", *range(6, 1_006), last=T_NS))

    assert page.rest == want("kraken", 1_006, 2_000, T_NS + 1)


@pytest.mark.parametrize(
    ("words", "busy", "retryable"),
    [
        ("EGeneral:Too many requests", True, True),
        ("EService:Unavailable", False, True),
        ("EQuery:Unknown asset pair", False, False),
    ],
)
def test_kraken_says_what_is_wrong_in_words(words: str, busy: bool, retryable: bool) -> None:
    answer = json.dumps({"error": [words], "result": {}}).encode()

    with pytest.raises(HistoryError, match=words) as caught:
        make_history("kraken").read(want("kraken", 6, 7), answer)

    assert (caught.value.busy, caught.value.retryable) == (busy, retryable)


def test_krakens_whole_seconds_and_ids_that_are_none() -> None:
    history: TradeHistory = make_history("kraken")
    whole = ["1.5", "2.0", 1688669597, "s", "l", "", 6]
    answer = {"error": [], "result": {"XXBTZUSD": [whole], "last": "1"}}

    page = history.read(want("kraken", 6, 6), json.dumps(answer).encode())
    assert (page.ticks[0].event_ns, page.ticks[0].side) == (T_NS, Side.SELL)

    answer["result"] = {"XXBTZUSD": [[*whole[:6], "6"]], "last": "1"}
    with pytest.raises(HistoryError, match="no trade id"):
        history.read(want("kraken", 6, 6), json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("feed", "path"),
    [
        ("coinbase", "/products/BTC-USD/trades?limit=1"),
        ("binance", "/api/v3/trades?symbol=BTCUSDT&limit=1"),
        ("kraken", "/0/public/Trades?pair=XBTUSD&count=1"),
    ],
)
def test_each_venue_names_its_newest_trade(feed: str, path: str) -> None:
    history = make_history(feed)

    assert history.newest_path(TICKERS[feed]) == path
    assert history.is_by_time is (feed == "kraken")
