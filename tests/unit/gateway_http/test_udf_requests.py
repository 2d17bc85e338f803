"""What charts ask for: UDF's parameters, one by one."""

import pytest

from core.market.resolution import Resolution
from core.market.symbol import Symbol, SymbolDirectory
from gateway.http.errors import ApiError
from gateway.http.udf_requests import (
    SearchQuery,
    SpanQuery,
    UnknownSymbol,
    history_query,
    marks_query,
    quotes_query,
    search_query,
)

BTC = Symbol("COINBASE:BTC-USD")
DIRECTORY = SymbolDirectory([BTC, Symbol("BINANCE:SOL-USD"), Symbol("KRAKEN:SOL-USD")])
NS = 1_000_000_000
ASKED = {"symbol": "BTC-USD", "resolution": "5", "from": "600", "to": "1200"}


def history(**params: str) -> SpanQuery:
    return history_query((ASKED | params).items(), DIRECTORY.resolve)


def test_a_range_is_whole_seconds_with_an_exclusive_end() -> None:
    assert history() == SpanQuery(
        symbol=BTC, resolution=Resolution(5), start_ns=600 * NS, end_ns=1200 * NS, countback=None
    )
    assert history(countback="2").countback == 2
    assert marks_query(ASKED.items(), DIRECTORY.resolve) == history()


def test_countback_makes_from_unimportant_and_zero_is_none() -> None:
    asked = {name: text for name, text in ASKED.items() if name != "from"}
    query = history_query((asked | {"countback": "5"}).items(), DIRECTORY.resolve)
    assert (query.start_ns, query.countback) == (0, 5)
    assert history(countback="5", **{"from": "9999"}).countback == 5
    assert history(countback="0").countback is None


def test_charts_scroll_to_before_1970() -> None:
    assert history(**{"from": "-86400"}).start_ns == 0
    assert history(to="99999999999").end_ns == 99_999_999_999 * NS


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("1", 1), ("7", 7), ("240", 240), ("1440", 1440), ("D", 1440), ("1D", 1440)],
)
def test_any_length_up_to_a_day_is_taken(text: str, minutes: int) -> None:
    assert history(resolution=text).resolution == Resolution(minutes)


def test_a_symbol_with_its_venue_need_not_be_carried_now() -> None:
    assert history(symbol="sim:s001").symbol == "SIM:S001"
    with pytest.raises(UnknownSymbol, match="unknown_symbol: nobody carries 'NEW-USD'"):
        history(symbol="NEW-USD")


BAD_HISTORY = [
    ({"symbol": ""}, "symbol", "missing"),
    ({"symbol": "a b"}, "symbol", "expected VENUE"),
    ({"symbol": "A:B:C"}, "symbol", "expected VENUE"),
    ({"symbol": "\x00"}, "symbol", "expected VENUE"),
    ({"symbol": "SOL-USD"}, "symbol", "BINANCE:SOL-USD, KRAKEN:SOL-USD"),
    ({"symbol": "X" * 101}, "symbol", "at most 100"),
    ({"resolution": ""}, "resolution", "missing"),
    *(
        ({"resolution": text}, "resolution", "minutes from 1 to 1440")
        for text in ("0", "05", "-5", "1441", "1W", "1M", "S", "1.5", "d", "5Min", "٣", "9" * 90)
    ),
    ({"from": "1300"}, "from", "up to 1200"),
    *(
        ({name: text}, name, "whole seconds since 1970")
        for name in ("from", "to")
        for text in ("", "x", "1.5", "1e9", " 1", "1625270400000", "2021-07-03", "٣", "9" * 90)
    ),
    ({"countback": "-1"}, "countback", "from 0 to 999999999"),
    ({"countback": "1000000000"}, "countback", "from 0 to 999999999"),
    ({"countback": "two"}, "countback", "from 0 to 999999999"),
]


@pytest.mark.parametrize(("params", "name", "reason"), BAD_HISTORY)
def test_bad_input_names_the_parameter_and_what_is_accepted(
    params: dict[str, str], name: str, reason: str
) -> None:
    with pytest.raises(ApiError) as caught:
        history(**params)

    assert caught.value.status == 400
    assert f"parameter {name}" in caught.value.message
    assert reason in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("name", ["from", "to"])
def test_a_range_needs_both_ends(name: str) -> None:
    asked = {key: text for key, text in ASKED.items() if key != name}
    with pytest.raises(ApiError, match=f"parameter {name} is missing"):
        history_query(asked.items(), DIRECTORY.resolve)


def test_what_the_library_sends_along_is_left_alone_but_nothing_is_read_from_two_values() -> None:
    assert history(currencyCode="USD", unitId="kg") == history()
    with pytest.raises(ApiError, match="parameter to: '1300' is not accepted; give it once"):
        history_query([*ASKED.items(), ("to", "1300")], DIRECTORY.resolve)


def test_a_search_has_defaults_and_bounds() -> None:
    assert search_query([]) == SearchQuery("", "", "", 30)
    asked = {"query": "BTC", "exchange": "coinbase", "type": "Crypto", "limit": "5"}
    assert search_query(asked.items()) == SearchQuery("BTC", "COINBASE", "crypto", 5)
    for text in ("0", "1001", "x"):
        with pytest.raises(ApiError, match="from 1 to 1000"):
            search_query([("limit", text)])


def test_quotes_are_of_each_name_once_and_not_of_too_many() -> None:
    assert quotes_query([("symbols", "A,B,A,a b")]) == ["A", "B", "a b"]
    assert quotes_query([("symbols", "")]) == []
    with pytest.raises(ApiError, match="parameter symbols is missing"):
        quotes_query([])
    with pytest.raises(ApiError, match="expected ASCII"):
        quotes_query([("symbols", "A,é")])
    with pytest.raises(ApiError, match="at most 1000 symbols"):
        quotes_query([("symbols", ",".join(map(str, range(1_001))))])
