import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.market.tick import Side, Tick
from ingest.spec import VENUES
from ingest.venues import VenueProtocol, make_venue
from ingest.venues.protocol import MAX_CACHED_SYMBOLS, Note, NoteKind, Parsed, SymbolCache

COINBASE_MATCH = (
    '{"type":"%s","trade_id":280232,"maker_order_id":"2a0d","taker_order_id":"3c82","side":"%s",'
    '"size":"985","price":"0.00001305","product_id":"SKL-BTC","sequence":177100030,'
    '"time":"2021-04-17T16:43:37.089723Z"}'
)
BINANCE_TRADE = (
    '{"e":"trade","E":1633998523970,"s":"NKNUSDT","t":19862790,"p":"0.35280000",'
    '"q":"58.00000000","T":%s,"m":%s,"M":true}'
)
KRAKEN_TRADE = (
    '{"symbol":"%s","side":"%s","price":0.5117,"qty":40.0,"ord_type":"market",'
    '"trade_id":%s,"timestamp":"2023-09-25T07:49:37.708706Z"}'
)


def kraken(kind: str, *trades: str) -> str:
    return '{"channel":"trade","type":"%s","data":[%s]}' % (kind, ",".join(trades))  # noqa: UP031


def frames(folder: Path, name: str) -> Iterator[str]:
    with gzip.open(folder / "captures" / f"{name}.jsonl.gz", "rt") as lines:
        for line in lines:
            yield json.loads(line)["message"]


def test_every_trade_of_the_coinbase_capture_is_read_and_history_kept_apart(
    market_data: Path,
) -> None:
    venue = make_venue("coinbase", ["BTC-USD"])
    live: list[Tick] = []
    history: list[Tick] = []

    for frame in frames(market_data, "coinbase_exchange"):
        parsed = venue.parse(frame)
        assert not parsed.errors
        live += parsed.ticks
        history += parsed.history

    assert (len(live), len(history)) == (97, 10)
    raw = [json.loads(f) for f in frames(market_data, "coinbase_exchange") if '"match"' in f]
    assert [(t.trade_id, t.price, t.size) for t in live] == [
        (m["trade_id"], float(m["price"]), float(m["size"])) for m in raw
    ]


def test_every_trade_of_the_binance_capture_is_read(market_data: Path) -> None:
    venue = make_venue("binance", ["NKNUSDT"])

    parsed = [venue.parse(frame) for frame in frames(market_data, "binance_spot")]

    assert not any(p.errors for p in parsed)
    ticks = [tick for p in parsed for tick in p.ticks]
    assert [(t.symbol, t.trade_id) for t in ticks] == [
        ("BINANCE:NKNUSDT", 15683430),
        ("BINANCE:LRCBTC", 9213679),
    ]


def test_a_coinbase_side_is_the_makers_so_the_taker_is_on_the_other() -> None:
    venue = make_venue("coinbase", ["SKL-BTC"])

    sold, bought = (venue.parse(COINBASE_MATCH % ("match", s)).ticks[0] for s in ("buy", "sell"))

    assert (sold.side, bought.side) == (Side.SELL, Side.BUY)
    assert bought == Tick(
        bought.symbol, 280232, 0.00001305, 985.0, 1_618_677_817_089_723_000, Side.BUY, 280232
    )
    assert bought.symbol == "COINBASE:SKL-BTC"


def test_a_coinbase_last_match_is_history() -> None:
    parsed = make_venue("coinbase", []).parse(COINBASE_MATCH % ("last_match", "buy"))

    assert not parsed.ticks
    assert len(parsed.history) == 1


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("time", "maker", "side", "event_ns"),
    [
        ("1633998523963", "true", Side.SELL, 1_633_998_523_963_000_000),
        ("1633998523963123", "false", Side.BUY, 1_633_998_523_963_123_000),
    ],
)
def test_a_binance_trade_is_read_raw_and_wrapped_in_ms_and_us(
    *, wrapped: bool, time: str, maker: str, side: Side, event_ns: int
) -> None:
    frame = BINANCE_TRADE % (time, maker)
    if wrapped:
        frame = '{"stream":"nknusdt@trade","data":%s}' % frame  # noqa: UP031

    (tick,) = make_venue("binance", ["NKNUSDT"]).parse(frame).ticks

    assert tick == Tick(tick.symbol, 19862790, 0.3528, 58.0, event_ns, side, 19862790)


def test_a_kraken_frame_carries_many_trades_and_its_side_is_the_takers() -> None:
    frame = kraken(
        "update", KRAKEN_TRADE % ("MATIC/USD", "sell", 1), KRAKEN_TRADE % ("MATIC/USD", "buy", 2)
    )

    first, second = make_venue("kraken", ["MATIC/USD"]).parse(frame).ticks

    assert first == Tick(
        first.symbol, 1, 0.5117, 40.0, 1_695_628_177_708_706_000, Side.SELL, 1
    )  # fmt: skip
    assert (second.trade_id, second.side, second.symbol) == (2, Side.BUY, "KRAKEN:MATIC-USD")


def test_a_kraken_snapshot_is_history() -> None:
    parsed = make_venue("kraken", []).parse(kraken("snapshot", KRAKEN_TRADE % ("A/B", "buy", 1)))

    assert not parsed.ticks
    assert len(parsed.history) == 1


def test_a_malformed_trade_of_a_kraken_frame_leaves_the_others() -> None:
    good = KRAKEN_TRADE % ("A/B", "buy", 1)
    wrong = [
        KRAKEN_TRADE % ("A/B", "hold", 2),
        KRAKEN_TRADE % ("A B", "buy", 3),
        KRAKEN_TRADE % ("A/B", "buy", '"x"'),
        good.replace("07:49", "07-49"),
        "7",
    ]

    parsed = make_venue("kraken", []).parse(kraken("update", wrong[0], good, *wrong[1:], good))

    assert [tick.trade_id for tick in parsed.ticks] == [1, 1]
    assert len(parsed.errors) == len(wrong)
    assert "kraken" in str(parsed.errors[0])


@pytest.mark.parametrize("feed", VENUES)
@pytest.mark.parametrize(
    "frame",
    ["", "{", "[]", "7", b"\xff\xfe\x00", b"\x00" * 300, "\ud800", '{"type":7,"e":7,"channel":7}',
     '{"type":"match","e":"trade","channel":"trade","data":7}',
     '{"type":"match","e":"trade","channel":"trade","x":' + "[" * 200_000],
    ids=range(10),
)  # fmt: skip
def test_garbage_is_an_error_in_words_and_never_raises(feed: str, frame: str | bytes) -> None:
    parsed = make_venue(feed, []).parse(frame)

    assert not parsed.ticks
    assert feed in str(parsed.errors[0])


@pytest.mark.parametrize(
    "change",
    [
        ('"trade_id":280232,', ""),
        ('"price":"0.00001305",', ""),
        ('"size":"985",', ""),
        ('"sell"', '"none"'),
        ("SKL-BTC", "SKL BTC"),
        ("2021-04-17T", "2021-04-17 at "),
        ("280232", "-1"),
        ("280232", "9223372036854775808"),
        ('"0.00001305"', "true"),
    ],
    ids=range(9),
)
def test_a_coinbase_match_with_a_wrong_field_is_an_error(change: tuple[str, str]) -> None:
    parsed = make_venue("coinbase", []).parse((COINBASE_MATCH % ("match", "sell")).replace(*change))

    assert (len(parsed.ticks), len(parsed.errors)) == (0, 1)


@pytest.mark.parametrize(
    "change", [('"t":19862790,', ""), ('"NKNUSDT"', '"NKN USDT"'), ('"T":', '"Z":')], ids=range(3)
)
def test_a_binance_trade_with_a_wrong_field_is_an_error(change: tuple[str, str]) -> None:
    frame = (BINANCE_TRADE % (1, "true")).replace(*change)

    parsed = make_venue("binance", []).parse(frame)

    assert (len(parsed.ticks), len(parsed.errors)) == (0, 1)


def test_numbers_that_no_trade_can_have_are_read_for_admission_to_refuse() -> None:
    frame = (COINBASE_MATCH % ("match", "sell")).replace("0.00001305", "NaN").replace("985", "-1")

    (tick,) = make_venue("coinbase", []).parse(frame).ticks

    assert tick.price != tick.price
    assert tick.size == -1.0


@pytest.mark.parametrize(
    ("feed", "frame", "note"),
    [
        ("coinbase", '{"type":"error","message":"Failed to subscribe","reason":"A-B is unknown"}',
         Note(NoteKind.REFUSED, "Failed to subscribe: A-B is unknown")),
        ("coinbase", '{"type":"error","message":"slow down"}', Note(NoteKind.REFUSED, "slow down")),
        ("coinbase", '{"type":"subscriptions","channels":[]}', Note(NoteKind.SUBSCRIBED, "[]")),
        ("binance", '{"result":null,"id":1}', Note(NoteKind.SUBSCRIBED, "subscribed")),
        ("binance", '{"code":2,"msg":"Invalid request","id":1}',
         Note(NoteKind.REFUSED, "Invalid request (code 2)")),
        ("binance", '{"error":{"code":3,"msg":"Invalid JSON"},"id":null}',
         Note(NoteKind.REFUSED, "Invalid JSON (code 3)")),
        ("binance", '{"e":"serverShutdown","E":1}',
         Note(NoteKind.LEAVING, "the server is about to restart")),
        ("kraken", '{"method":"subscribe","success":true,"result":{"symbol":"A/B"}}',
         Note(NoteKind.SUBSCRIBED, "")),
        ("kraken", '{"method":"subscribe","success":false,"error":"Currency pair not supported",'
         '"symbol":"X/Y"}', Note(NoteKind.REFUSED, "Currency pair not supported X/Y")),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_a_venue_says_of_subscriptions_and_errors_is_noted(
    feed: str, frame: str, note: Note
) -> None:
    parsed = make_venue(feed, []).parse(frame)

    assert list(parsed.notes) == [note]


@pytest.mark.parametrize(
    ("feed", "frame"),
    [
        ("coinbase", '{"type":"heartbeat","sequence":9,"last_trade_id":2,"product_id":"A-B"}'),
        ("binance", '{"result":["nknusdt@trade"],"id":2}'),
        ("binance", '{"stream":"a@kline_1m","data":{"e":"kline","k":{"t":1}}}'),
        ("kraken", '{"channel":"heartbeat"}'),
        ("kraken", '{"channel":"status","type":"update","data":[{"system":"online"}]}'),
        ("kraken", '{"method":"pong","time_in":"x","time_out":"y"}'),
    ],
    ids=range(6),
)
def test_frames_without_trades_are_no_errors(feed: str, frame: str) -> None:
    parsed = make_venue(feed, []).parse(frame)

    assert parsed == Parsed()


@pytest.mark.parametrize(
    ("feed", "symbol", "subscription", "probed"),
    [
        ("coinbase", "BTC-USD", {"type": "subscribe", "product_ids": ["BTC-USD"],
                                 "channels": ["matches", "heartbeat"]}, False),
        ("binance", "BTCUSDT", {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}, True),
        ("kraken", "BTC/USD", {"method": "subscribe", "params": {
            "channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}}, True),
    ],
    ids=VENUES,
)  # fmt: skip
def test_each_venue_is_subscribed_and_kept_talking_in_its_own_way(
    feed: str, symbol: str, subscription: object, *, probed: bool
) -> None:
    venue: VenueProtocol = make_venue(feed, [symbol])

    assert [json.loads(frame) for frame in venue.subscribe_frames()] == [subscription]
    assert (venue.probe_frame() is not None) == probed
    assert venue.url.startswith("wss://")
    assert venue.name == feed


def test_a_venue_that_makes_names_up_does_not_fill_the_memory() -> None:
    cache = SymbolCache("X")

    for n in range(MAX_CACHED_SYMBOLS + 5):
        cache.get(f"S{n}")

    assert len(cache._symbols) <= MAX_CACHED_SYMBOLS
