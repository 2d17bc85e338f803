import pytest

from core.market.symbol import Symbol
from gateway.channels import SILENT, Channel, Codec
from gateway.endpoints import (
    CRYPTO,
    ENDPOINTS,
    NATIVE,
    STOCKS,
    Endpoint,
    StreamPaths,
    endpoint_of,
)
from gateway.market import MarketState, NotAStock
from gateway.messages import RequestError, Subscribe, decode_request
from gateway.plans import Bounds, Plans, spelled
from gateway.session import subscription
from storage.keys import StreamKeys
from tests.unit.gateway.listeners import Desk, Listener

STOCK, OTHER, COIN, UNDECLARED = "ALP:AAPL", "ALP:MSFT", "COINBASE:BTC-USD", "NEW:NVDA"
VENUES = {"ALP": True, "COINBASE": False}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/stream", NATIVE),
        ("/v1beta3/crypto/us", CRYPTO),
        ("/v1beta3/crypto/eu-1", CRYPTO),
        ("/v2/iex", STOCKS),
        ("/v2/delayed_sip", STOCKS),
        ("/v2/stocks/bars", None),
        ("/v1beta3/crypto/us/bars", None),
        ("/v2/", None),
        ("/v2/iex/", None),
        ("/v1/stream/", None),
    ],
)
def test_an_endpoint_is_known_by_its_path(path: str, expected: Endpoint | None) -> None:
    assert endpoint_of(path) is expected
    assert (path in StreamPaths()) is (expected is not None)


def test_no_path_is_not_a_stream() -> None:
    assert None not in StreamPaths()


def test_replies_have_the_keys_of_the_published_protocol_in_its_order() -> None:
    stocks = subscription({(Channel.TRADES, "AAPL"), (Channel.DAILY_BARS, "VOO")}, STOCKS)
    crypto = subscription({(Channel.BARS, "BTC/USD")}, CRYPTO)

    assert list(stocks.items()) == [
        ("T", "subscription"),
        ("trades", ["AAPL"]),
        ("quotes", []),
        ("bars", []),
        ("updatedBars", []),
        ("dailyBars", ["VOO"]),
        ("statuses", []),
        ("lulds", []),
        ("corrections", ["AAPL"]),
        ("cancelErrors", ["AAPL"]),
    ]
    assert list(crypto.items()) == [
        ("T", "subscription"),
        ("trades", []),
        ("quotes", []),
        ("orderbooks", []),
        ("bars", ["BTC/USD"]),
        ("updatedBars", []),
        ("dailyBars", []),
    ]


def test_channels_of_our_own_are_in_replies_while_they_are_subscribed_to() -> None:
    names = {(Channel.BARS_5, "A"), (Channel.IMBALANCES, "B")}

    assert subscription(names, STOCKS) == subscription(set(), STOCKS) | {
        "bars5Min": ["A"],
        "imbalances": ["B"],
    }


@pytest.mark.parametrize("endpoint", [CRYPTO, STOCKS])
def test_the_channels_of_an_endpoint_may_be_subscribed_to(endpoint: Endpoint) -> None:
    asked = b'{"action":"subscribe","dailyBars":["A"],"runningBars":["B"],"news":null}'

    assert decode_request(asked, binary=False, endpoint=endpoint) == Subscribe(
        ((Channel.DAILY_BARS, "A"), (Channel.RUNNING_BARS, "B"))
    )


@pytest.mark.parametrize(
    ("endpoint", "channel"), [(CRYPTO, "lulds"), (STOCKS, "orderbooks"), (STOCKS, "news")]
)
def test_those_of_another_one_are_410(endpoint: Endpoint, channel: str) -> None:
    asked = b'{"action":"subscribe","%s":["A"]}' % channel.encode()

    with pytest.raises(RequestError) as refused:
        decode_request(asked, binary=False, endpoint=endpoint)

    assert refused.value.code == 410
    assert "dailyBars" in refused.value.reason


def test_only_stocks_have_their_shapes() -> None:
    written = {
        endpoint: [endpoint.codec(codec) for codec in (Codec.JSON, Codec.MSGPACK)]
        for endpoint in ENDPOINTS
    }

    assert written == {
        NATIVE: [Codec.JSON, Codec.MSGPACK],
        CRYPTO: [Codec.COIN_JSON, Codec.COIN_MSGPACK],
        STOCKS: [Codec.STOCK_JSON, Codec.STOCK_MSGPACK],
    }
    assert [codec for codec in Codec if codec.stocks] == written[STOCKS]
    assert [codec for codec in Codec if codec.plain] == written[CRYPTO] + written[STOCKS]


def test_what_no_feed_carries_counts_for_nobody_who_listens() -> None:
    desk, client = Desk(STOCK), Listener()

    for channel in SILENT:
        desk.subscribe(client, STOCK, channel=channel)

    assert not desk.hub.subscribers


@pytest.fixture
def desk() -> Desk:
    """Two stocks, a coin, and a symbol whose venue no feed has declared yet."""
    found = Desk()
    found.market.declare(VENUES)
    found.carry(STOCK, OTHER, COIN, UNDECLARED)
    return found


@pytest.mark.parametrize("name", [COIN, "BTC/USD", "btc-usd"])
def test_what_is_no_stock_is_410_where_there_are_only_such(desk: Desk, name: str) -> None:
    client = Listener(Codec.STOCK_JSON)

    with pytest.raises(RequestError, match="COINBASE:BTC-USD is no stock: no feed dec") as refused:
        desk.subscribe(client, STOCK, name)

    assert refused.value.code == 410
    assert client.group is None


def test_a_star_there_is_all_stocks(desk: Desk) -> None:
    here, everywhere = Listener(Codec.STOCK_JSON), Listener()
    for client in (here, everywhere):
        desk.subscribe(client, "*")

    desk.trade(STOCK, COIN, OTHER)
    desk.flush()
    snapshot = desk.hub.snapshot(here, [])

    assert sorted(message["S"] for message in here.messages) == ["AAPL", "MSFT"]
    assert len(everywhere.messages) == 3
    assert not snapshot


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        (Codec.JSON, [STOCK, COIN, "COINBASE:AAPL", "KRAKEN:BTC-EUR-1"]),
        (Codec.COIN_JSON, [STOCK, "BTC/USD", "COINBASE:AAPL", "BTC/EUR-1"]),
        (Codec.COIN_MSGPACK, [STOCK, "BTC/USD", "COINBASE:AAPL", "BTC/EUR-1"]),
        (Codec.STOCK_JSON, ["AAPL"]),
        (Codec.STOCK_MSGPACK, ["AAPL"]),
    ],
)
def test_a_star_of_the_published_protocol_leaves_out_venues_where_one_carries_the_name(
    desk: Desk, codec: Codec, expected: list[str]
) -> None:
    live, snapshots = Listener(codec), Listener(codec)
    symbols = (STOCK, COIN, "COINBASE:AAPL", "KRAKEN:BTC-EUR-1")
    desk.carry(*symbols)
    desk.subscribe(live, "*")
    desk.subscribe(snapshots, "*", channel=Channel.BARS)

    desk.trade(*symbols)
    desk.flush()
    for symbol in symbols:
        desk.bar(symbol, 1.0)
    snapshot = desk.hub.snapshot(snapshots, [(Channel.BARS, "*")])
    snapshots.deliver(b"".join(send.framed() for send in snapshot))

    assert [message["S"] for message in live.messages] == expected
    assert sorted(message["S"] for message in snapshots.messages) == sorted(expected)


def test_a_star_tells_venues_apart_from_the_moment_there_are_several(desk: Desk) -> None:
    stocks, coins = Listener(Codec.STOCK_JSON), Listener(Codec.COIN_JSON)
    for client in (stocks, coins):
        desk.subscribe(client, "*")
    for number in range(3):
        desk.trade(STOCK, COIN)
        desk.flush(after_ms=100)
        if number == 0:
            desk.carry("KRAKEN:BTC-USD", "NEW:AAPL")
        desk.hub.carry(desk.market.declare(VENUES | {"NEW": number > 0}))

    assert [message["S"] for message in stocks.messages] == ["AAPL", "AAPL", STOCK]
    assert [message["S"] for message in coins.messages] == ["AAPL", "BTC/USD", *(STOCK, COIN) * 2]


def test_a_name_beyond_those_that_are_kept_is_told_in_full() -> None:
    market = MarketState(max_symbols=1)
    market.add_symbols([Symbol(COIN), Symbol("KRAKEN:BTC-USD")])

    told = [
        market.star_name(Symbol(symbol), plain=True, stocks=False)
        for symbol in (COIN, "KRAKEN:BTC-USD", "KRAKEN:ETH-USD")
    ]

    assert told == ["BTC/USD", "KRAKEN:BTC-USD", "KRAKEN:ETH-USD"]


def test_a_name_there_means_the_stock_of_that_name(desk: Desk) -> None:
    here, everywhere = Listener(Codec.STOCK_JSON), Listener()
    desk.carry("COINBASE:AAPL")

    desk.subscribe(here, "AAPL")
    with pytest.raises(RequestError, match="carried by several venues"):
        desk.subscribe(everywhere, "AAPL")
    desk.trade("COINBASE:AAPL", STOCK)
    desk.flush()

    assert here.ids == [2]


def test_a_name_waits_until_its_venue_is_declared(desk: Desk) -> None:
    here, everywhere = Listener(Codec.STOCK_JSON), Listener()
    for client in (here, everywhere):
        desk.subscribe(client, "NVDA", "TSLA")
    desk.carry("COINBASE:TSLA")
    desk.trade(UNDECLARED, "COINBASE:TSLA")
    desk.flush()

    desk.hub.carry(desk.market.declare(VENUES | {"NEW": True}))
    desk.trade(UNDECLARED, "COINBASE:TSLA")
    desk.flush(after_ms=100)
    desk.carry("ALP:TSLA")
    desk.trade("ALP:TSLA")
    desk.flush(after_ms=100)

    assert here.ids == [3, 5]
    assert everywhere.ids == [1, 2, 3, 4]


def test_names_that_waited_twice_for_one_stock_are_served_and_forgotten(desk: Desk) -> None:
    early, late = Listener(Codec.STOCK_JSON), Listener(Codec.STOCK_JSON)
    with_new = VENUES | {"NEW": True}
    desk.subscribe(early, "NVDA", "AAPL")
    desk.hub.carry(desk.market.declare(with_new))
    desk.market.declare(VENUES)
    desk.subscribe(late, "NVDA")
    desk.hub.carry(desk.market.declare(with_new))

    for _ in range(2):
        desk.trade(UNDECLARED, STOCK)
        desk.flush(after_ms=100)
        desk.unsubscribe(late, "NVDA")
        desk.unsubscribe(early, "NVDA")

    assert (early.seen, late.seen) == ([("NVDA", 1), ("AAPL", 2), ("AAPL", 4)], [("NVDA", 1)])


def test_venues_are_declared_once(desk: Desk) -> None:
    assert desk.market.declare(VENUES) == []
    assert desk.market.declare({"ALP": False}) == []
    assert desk.market.declare({"ALP": True}) == [STOCK, OTHER]


def test_snapshots_of_a_star_are_of_stocks(desk: Desk) -> None:
    here = Listener(Codec.STOCK_JSON)
    desk.subscribe(here, "*", channel=Channel.BARS)
    for symbol in (STOCK, COIN):
        desk.bar(symbol, 1.0)

    desk.send(desk.hub.snapshot(here, [(Channel.BARS, "*")]))

    assert here.seen == [("AAPL", 1.0)]


def test_what_was_missed_is_looked_up_among_stocks(desk: Desk) -> None:
    plans = Plans(desk.market, StreamKeys("t", 1))
    names = ((Channel.TRADES, "BTC/USD"), (Channel.TRADES, "*"))

    in_shapes = Bounds(stocks=True, plain=True)
    here, everywhere = plans.enter(names, in_shapes), plans.enter(names)
    plans.refresh(["x"])

    assert here is not everywhere
    assert [wanted.symbol for wanted in here.wanted] == [None, None]
    assert [wanted.symbol for wanted in everywhere.wanted] == [COIN, None]
    symbols = [Symbol(name) for name in (STOCK, COIN)]
    assert spelled(here, here.wanted[1], symbols) == [(STOCK, "AAPL")]
    assert spelled(everywhere, everywhere.wanted[1], symbols) == [(STOCK, STOCK)]
    plans.leave(here)
    assert plans.enter(names, in_shapes) is not here


def test_the_market_tells_stocks() -> None:
    market = MarketState()
    market.add_symbols([Symbol(STOCK), Symbol(COIN), Symbol(UNDECLARED)])
    market.declare(VENUES)

    assert market.resolve("AAPL", stocks=True) == STOCK
    assert market.resolve("NVDA", stocks=True) is None
    assert market.resolve("unknown", stocks=True) is None
    with pytest.raises(NotAStock):
        market.resolve(COIN, stocks=True)
