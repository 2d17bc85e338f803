"""Query parameters, one by one: what is taken, and what is said of the rest."""

import base64

import pytest

from core.market.resolution import Resolution
from core.market.symbol import Symbol, SymbolDirectory
from core.market.timeframe import DAY_NS
from gateway.access.entitlement import Entitlement
from gateway.access.grant import Caller
from gateway.http.errors import ApiError, shown, unavailable
from gateway.http.params import BarsQuery, Params, bars_query, matches, resolver
from gateway.http.tokens import encode_token
from gateway.market import MarketState

NOW_NS = 1_625_313_600_000_000_000  # 2021-07-03T12:00:00Z
DAY = 1_625_270_400_000_000_000
BTC, ETH = Symbol("COINBASE:BTC-USD"), Symbol("COINBASE:ETH-USD")
DIRECTORY = SymbolDirectory([BTC, ETH, Symbol("BINANCE:SOL-USD"), Symbol("KRAKEN:SOL-USD")])


def query(**params: str) -> BarsQuery:
    return bars_query(({"symbols": "BTC-USD"} | params).items(), DIRECTORY.resolve, now_ns=NOW_NS)


def test_defaults_are_todays_minutes_up_to_now() -> None:
    assert query() == BarsQuery(
        symbols={BTC: "BTC-USD"},
        resolution=Resolution(1),
        fill=False,
        format="",
        start_ns=DAY,
        end_ns=NOW_NS,
        limit=1_000,
        descending=False,
        after=None,
        fixed=False,
        binding=("1Min", "asc", "none", "None", "None", "BTC-USD"),
    )


def test_every_parameter_is_taken() -> None:
    asked = query(
        symbols="eth/usd,COINBASE:BTC-USD,eth/usd",
        timeframe="4H",
        fill="previous",
        start="2021-07-01",
        end="2021-07-02T00:00:00.000000001Z",
        limit="10000",
        sort="desc",
    )

    assert asked.symbols == {ETH: "eth/usd", BTC: "COINBASE:BTC-USD"}
    assert asked.resolution == Resolution(240)
    assert asked.fill
    assert (asked.start_ns, asked.end_ns) == (DAY - 2 * DAY_NS, DAY - DAY_NS + 1)
    assert asked.limit == 10_000
    assert asked.descending


def test_an_unknown_symbol_is_left_out_unless_it_names_its_venue() -> None:
    asked = query(symbols="BTC-USD,NEW-USD,SIM:s001")

    assert asked.symbols == {BTC: "BTC-USD", Symbol("SIM:S001"): "SIM:s001"}


def test_a_start_ahead_of_a_default_end_is_an_empty_range_and_no_error() -> None:
    asked = query(start="2021-07-04")

    assert asked.start_ns > asked.end_ns


def test_a_token_brings_back_the_position_and_the_first_pages_range() -> None:
    first = query(limit="5")
    token = encode_token(first.position(BTC, DAY), first.binding)

    later = bars_query(
        {"symbols": "BTC-USD", "page_token": token, "limit": "7"}.items(),
        DIRECTORY.resolve,
        now_ns=NOW_NS + DAY_NS,
    )

    assert later.after == (BTC, DAY)
    assert (later.start_ns, later.end_ns, later.limit) == (first.start_ns, first.end_ns, 7)


TOKEN = encode_token(query().position(BTC, DAY), query().binding)
OTHER_VERSION = base64.urlsafe_b64encode(
    b"\x93\x02" + base64.urlsafe_b64decode(TOKEN + "=" * (-len(TOKEN) % 4))[2:]
)

BAD = [
    ({"symbols": ""}, "symbols", "missing"),
    ({"symbols": ","}, "symbols", "expected VENUE"),
    ({"symbols": "BTC-USD,"}, "symbols", "expected VENUE"),
    ({"symbols": "BTC USD"}, "symbols", "expected VENUE"),
    ({"symbols": "*"}, "symbols", "expected VENUE"),
    ({"symbols": "COINBASE:"}, "symbols", "expected VENUE"),
    ({"symbols": "A:B:C"}, "symbols", "expected VENUE"),
    ({"symbols": "\x00"}, "symbols", "expected VENUE"),
    ({"symbols": "X" * 5_000}, "symbols", "expected VENUE"),
    ({"symbols": "SOL-USD"}, "symbols", "BINANCE:SOL-USD, KRAKEN:SOL-USD"),
    ({"symbols": "BTC-USD,BTC/USD"}, "symbols", "use one spelling"),
    ({"symbols": ",".join(f"S{n}" for n in range(1_001))}, "symbols", "at most 1000"),
    ({"timeframe": "1M"}, "timeframe", "1Min to 1440Min (or T: 90T), 1Hour to 24Hour"),
    ({"timeframe": "2Day"}, "timeframe", "1Day (or D)"),
    ({"timeframe": ""}, "timeframe", "1Min to 1440Min"),
    ({"start": "2024-02-30"}, "start", "no such date"),
    ({"start": ""}, "start", "RFC 3339"),
    ({"start": "1625270400"}, "start", "RFC 3339"),
    ({"end": "2021-07-03T25:00:00Z"}, "end", "no such time"),
    ({"end": "now"}, "end", "RFC 3339"),
    ({"end": "2021-07-01"}, "start", "the default, today's start"),
    ({"start": "2021-07-02", "end": "2021-07-01"}, "start", "as given"),
    *(
        ({"limit": text}, "limit", "from 1 to 10000")
        for text in ("", "0", "-1", "10001", "1.5", "1e3", " 5", "+5", "1_0", "٣", "9" * 400)
    ),
    ({"sort": "up"}, "sort", "asc or desc"),
    ({"sort": ""}, "sort", "asc or desc"),
    ({"format": "xml"}, "format", "expected one of json, csv, arrow"),
    ({"fill": "zero"}, "fill", "expected none or previous"),
    ({"page_token": ""}, "page_token", "not a token"),
    ({"page_token": "MQ"}, "page_token", "not a token"),
    ({"page_token": "!!!!"}, "page_token", "not a token"),
    ({"page_token": "é"}, "page_token", "not a token"),
    ({"page_token": "A" * 300}, "page_token", "longer than any token"),
    ({"page_token": TOKEN[:-2]}, "page_token", "not a token"),
    ({"page_token": OTHER_VERSION.decode()}, "page_token", "version 2"),
    ({"page_token": TOKEN, "timeframe": "5Min"}, "page_token", "another query"),
    ({"page_token": TOKEN, "fill": "previous"}, "page_token", "another query"),
    ({"page_token": TOKEN, "sort": "desc"}, "page_token", "another query"),
    ({"page_token": TOKEN, "start": "2021-07-03"}, "page_token", "another query"),
    ({"page_token": TOKEN, "end": "2021-07-04"}, "page_token", "another query"),
    ({"page_token": TOKEN, "symbols": "BTC-USD,ETH-USD"}, "page_token", "another query"),
    ({"adjustment": "raw"}, "adjustment", "accepted here: symbols, timeframe, start"),
]


@pytest.mark.parametrize(("params", "name", "reason"), BAD)
def test_bad_input_is_a_400_that_names_the_parameter_and_what_is_accepted(
    params: dict[str, str], name: str, reason: str
) -> None:
    with pytest.raises(ApiError) as caught:
        query(**params)

    assert caught.value.status == 400
    assert name in caught.value.message
    assert reason in caught.value.message
    assert len(caught.value.message) < 600
    assert caught.value.message.isprintable()


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(ApiError, match="parameter limit: '6' is not accepted; give it once"):
        Params([("limit", "5"), ("limit", "6")], accepted=("limit",))


def test_every_unknown_parameter_is_named_along_with_those_there_are() -> None:
    with pytest.raises(ApiError, match="unknown parameter 'symbol', 'x'; accepted here: symbols"):
        Params([("symbol", ""), ("symbols", "A"), ("x", "1")], accepted=("symbols",))
    with pytest.raises(ApiError, match="accepted here: none"):
        Params([("x", "1")], accepted=())


def test_a_search_text_has_a_bound() -> None:
    assert Params([("query", "btc")], accepted=("query",)).search() == "btc"
    assert Params([], accepted=("query",)).search() == ""
    with pytest.raises(ApiError, match="at most 100"):
        Params([("query", "x" * 101)], accepted=("query",)).search()


def test_a_search_takes_any_case_and_either_separator() -> None:
    assert matches(BTC, "btc/u")
    assert matches(BTC, "")
    assert not matches(BTC, "ETH")


def test_an_error_repeats_only_the_beginning_of_what_was_given() -> None:
    assert shown("a" * 80) == "'" + "a" * 80 + "'"
    assert shown("\n" + "é" * 200).endswith("…")
    assert shown("\n") == "'\\n'"


def test_an_error_is_json_with_the_status_as_code() -> None:
    error = unavailable("the database is away", retry_after_s=3)

    assert error.body() == b'{"code":503,"message":"the database is away"}'
    assert error.headers == {"Retry-After": "3"}
    assert str(error) == "the database is away"


def test_symbols_that_the_caller_may_not_read_are_refused_by_name() -> None:
    market = MarketState()
    market.complete = True
    market.add_symbols([Symbol("SIM:S001"), Symbol("COINBASE:BTC-USD")])
    resolve = resolver(market, Caller(symbols=Entitlement(["SIM:*"])))

    assert resolve("S001") == "SIM:S001"
    assert resolve("SIM:NEW") is None
    assert resolve("NEW") is None
    for foreign in ("BTC/USD", "COINBASE:BTC-USD", "COINBASE:NEW"):
        with pytest.raises(ApiError, match=foreign) as caught:
            resolve(foreign)
        assert caught.value.status == 403


def test_an_answer_reaches_to_the_end_of_its_last_window() -> None:
    asked = query(timeframe="1H", end="2021-07-03T10:20:00Z")

    assert asked.last_ns() == DAY + 11 * 3_600_000_000_000 - 1
