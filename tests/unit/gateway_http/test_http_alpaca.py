import msgspec
import pytest

from core.market.bar import Bar
from core.market.bar_columns import columns_of
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from core.market.timeframe import Timeframe
from gateway.http.alpaca_answers import CRYPTO, STOCKS, SnapshotShape
from gateway.http.alpaca_params import bars_pairs, history_pairs, latest_pairs
from gateway.http.days import NewestBars, Standing
from gateway.http.errors import ApiError

DAY = 1_625_270_400_000_000_000  # 2021-07-03
AAPL, BTC = Symbol("ALP:AAPL"), Symbol("SIM:BTC-USD")


def bar(symbol: Symbol = AAPL, **fields: float) -> Bar:
    values = {"open": 1.0, "high": 3.0, "low": 0.5, "close": 2.0, "volume": 4.0, "vwap": 1.5}
    start_ns = DAY + 3_600_000_000_000
    return Bar(symbol, Timeframe.MIN_1, start_ns, trades=5, **(values | fields))  # type: ignore[arg-type]


def tick(ident: int = 7, size: float = 100.0, side: Side = Side.SELL) -> Tick:
    return Tick(AAPL, ident, 126.55, size, DAY + 208_000_000, side)


def test_bars_have_exactly_the_published_fields() -> None:
    found = STOCKS.bars(columns_of([bar(), bar(volume=0.5)]), {AAPL: "aapl"})

    first, second = msgspec.to_builtins(found)["aapl"]
    assert first == {
        "t": "2021-07-03T01:00:00Z", "o": 1.0, "h": 3.0, "l": 0.5, "c": 2.0, "v": 4, "n": 5,
        "vw": 1.5,
    }  # fmt: skip
    assert type(first["v"]) is int
    assert second["v"] == 0.5
    assert type(msgspec.to_builtins(CRYPTO.bar(bar()))["v"]) is float


def test_trades_have_exactly_the_published_fields() -> None:
    stock, coin = (msgspec.to_builtins(shapes.trade(tick())) for shapes in (STOCKS, CRYPTO))

    assert stock == {
        "t": "2021-07-03T00:00:00.208Z", "p": 126.55, "s": 100, "i": 7, "x": "E", "c": (), "z": "O",
    }  # fmt: skip
    assert coin == {"t": stock["t"], "p": 126.55, "s": 100.0, "i": 7, "tks": "S"}
    assert (type(stock["s"]), type(coin["s"])) == (int, float)


@pytest.mark.parametrize("shapes", [STOCKS, CRYPTO])
def test_what_the_venue_does_not_say_is_left_out(shapes: type[object]) -> None:
    found = msgspec.to_builtins(shapes.trade(tick(NO_ID, side=Side.UNKNOWN)))  # type: ignore[attr-defined]

    assert not {"i", "tks"} & set(found)


def test_a_snapshot_has_the_minute_that_is_over_and_days_from_midnight() -> None:
    minute, running = bar(close=2.5), bar(close=2.0)
    bars = NewestBars(minute=running, closed=minute, day=bar(high=9.0), previous_day=bar(low=0.1))

    found = msgspec.to_builtins(STOCKS.snapshot(Standing(tick(), bars)))

    assert list(found) == ["latestTrade", "minuteBar", "dailyBar", "prevDailyBar"]
    assert found["minuteBar"]["c"] == 2.5
    assert found["dailyBar"]["t"] == found["prevDailyBar"]["t"] == "2021-07-03T00:00:00Z"


def test_a_snapshot_leaves_out_what_there_is_not() -> None:
    nothing = Standing(None, NewestBars())

    assert STOCKS.snapshot(nothing) == SnapshotShape()
    assert msgspec.to_builtins(STOCKS.snapshot(nothing)) == {}


def test_what_names_a_source_means_nothing() -> None:
    asked = [
        ("symbols", "AAPL"), ("timeframe", "5Min"), ("feed", "iex"), ("currency", "usd"),
        ("asof", "2021-07-03"), ("asof", "-"), ("adjustment", "raw"), ("limit", "10000"),
    ]  # fmt: skip

    assert bars_pairs(asked, stocks=True) == [
        ("symbols", "AAPL"),
        ("timeframe", "5Min"),
        ("limit", "10000"),
    ]
    assert latest_pairs([("symbols", "A"), ("feed", "sip")], stocks=True) == [("symbols", "A")]
    assert history_pairs([("symbols", "A"), ("sort", "desc")], stocks=False) == [
        ("symbols", "A"),
        ("sort", "desc"),
    ]


@pytest.mark.parametrize(
    ("end", "meant"),
    [
        ("2021-06-08", "2021-06-08T23:59:59.999999999Z"),
        ("2021-06-08T00:00:00Z", "2021-06-08T00:00:00Z"),
        ("2021-06-31", "2021-06-31"),  # there is none: refused as it was given
        ("then", "then"),
    ],
)
def test_a_date_is_all_of_its_day_where_it_is_the_end(end: str, meant: str) -> None:
    span = [("symbols", "AAPL"), ("start", "2021-06-08"), ("end", end)]

    assert history_pairs(span, stocks=True) == [*span[:2], ("end", meant)]


def test_the_path_may_name_the_symbol() -> None:
    assert latest_pairs([], stocks=True, symbol="AAPL") == [("symbols", "AAPL")]
    with pytest.raises(ApiError, match="unknown parameter 'symbols'"):
        latest_pairs([("symbols", "A")], stocks=True, symbol="AAPL")


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("adjustment", "split", "prices are as they were traded: raw"),
        ("currency", "EUR", "prices are not converted"),
        ("asof", "yesterday", "expected a date"),
        ("feed", "i e x", "a name such as iex"),
        ("timeframe", "1Week", "weeks and months are not offered"),
        ("timeframe", "3M", "weeks and months are not offered"),
        ("timeframe", "", "parameter timeframe is missing"),
        ("fill", "previous", "unknown parameter 'fill'"),
    ],
)
def test_what_is_not_done_here_is_refused_in_words(name: str, value: str, hint: str) -> None:
    asked = {"symbols": "AAPL", "timeframe": "1Min", name: value}

    with pytest.raises(ApiError, match=hint) as refused:
        bars_pairs(asked.items(), stocks=True)

    assert refused.value.status == 400


def test_crypto_has_no_sources_to_name() -> None:
    with pytest.raises(ApiError, match="unknown parameter 'feed'"):
        latest_pairs([("symbols", "A"), ("feed", "us")], stocks=False)
