"""The query of /v1/trades."""

import pytest

from core.market.symbol import Symbol
from gateway.http.errors import ApiError
from gateway.http.tokens import Position, TradePosition, encode_token
from gateway.http.trade_query import TradesQuery, trades_query
from gateway.http.trades import missing

BTC, ETH = Symbol("COINBASE:BTC-USD"), Symbol("COINBASE:ETH-USD")
DAY = 1_625_270_400_000_000_000
NOW_NS = DAY + 3_600_000_000_000


def query(**given: str) -> TradesQuery:
    return trades_query({"symbols": BTC, **given}.items(), lambda text: Symbol(text), now_ns=NOW_NS)


def test_defaults_are_todays_trades_up_to_now() -> None:
    asked = query()

    assert (asked.start_ns, asked.end_ns, asked.limit) == (DAY, NOW_NS, 1_000)
    assert (asked.descending, asked.after, asked.format) == (False, None, "")


def test_a_token_brings_back_where_the_page_before_ended_and_the_first_pages_range() -> None:
    first = query(sort="desc", limit="7", format="csv")
    position = first.position(BTC, (DAY, -(2**63), 2**63 - 1), 3)

    token = encode_token(position, first.binding)
    later = trades_query(
        {"symbols": BTC, "sort": "desc", "page_token": token}.items(),
        lambda text: Symbol(text),
        now_ns=NOW_NS + 10**15,
    )

    assert later.after == position == TradePosition(BTC, position.key, 3, DAY, NOW_NS)
    assert (later.start_ns, later.end_ns, later.descending) == (DAY, NOW_NS, True)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"page_token": "x"}, "not a token that a page came with"),
        ({"timeframe": "1Min"}, "accepted here: symbols, start, end, limit, sort"),
        ({"format": ""}, "expected one of json, csv, arrow"),
        ({"limit": "0"}, "from 1 to 10000"),
    ],
)
def test_what_is_not_accepted_is_told(given: dict[str, str], reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        query(**given)


def test_a_token_of_a_page_of_bars_is_none_of_trades() -> None:
    token = encode_token(Position(BTC, DAY, DAY, NOW_NS), query().binding)

    with pytest.raises(ApiError, match="not a token that a page came with"):
        query(page_token=token)


def test_what_the_log_does_not_cover_is_said_by_symbol() -> None:
    asked = trades_query(
        {"symbols": f"{BTC},{ETH},X:Y", "start": "2021-07-02"}.items(),
        lambda text: Symbol(text),
        now_ns=NOW_NS,
    )

    said = missing(asked, {BTC: asked.start_ns, ETH: DAY})

    assert said == {
        ETH: "trades before 2021-07-03T00:00:00Z are not kept, or not all of them",
        "X:Y": "its trades are not kept, or none came yet; here is what there is",
    }
