import pytest

from ingest.errors import SpecError
from ingest.spec import (
    FeedSpec,
    PollOptions,
    ReplayOptions,
    SimOptions,
    VenueOptions,
    name_feeds,
)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("coinbase:BTC-USD,eth/usd", VenueOptions(symbols=("BTC-USD", "ETH-USD"))),
        ("binance:btcusdt", VenueOptions(symbols=("BTCUSDT",))),
        (
            "kraken:BTC-USD?url=ws://localhost:1&rest_url=http://[::1]:2/x&silence=5",
            VenueOptions(
                symbols=("BTC/USD",),
                url="ws://localhost:1",
                rest_url="http://[::1]:2/x",
                silence_s=5,
            ),
        ),
        ("coinbase:A-B?url=ws://h/p%3Fa=1%26b=2", VenueOptions(symbols=("A-B",), url="ws://h/p?a=1&b=2")),
        ("sim", SimOptions()),
        ("sim:", SimOptions()),
        ("sim?rate=2", SimOptions(rate=2)),
        ("sim:?symbols=50&rate=0&seed=7", SimOptions(symbols=50, rate=0, seed=7)),
        ("replay:/tmp/a?b.csv?speed=max", ReplayOptions(path="/tmp/a?b.csv", speed=None)),
        ("replay:a.csv.gz", ReplayOptions(path="a.csv.gz", speed=1, start=0.0)),
        (
            "replay:a.csv?speed=0.5&venue=binance&start=subscribed",
            ReplayOptions(path="a.csv", speed=0.5, venue="BINANCE", start="subscribed"),
        ),
        ("replay:a.csv?start=3", ReplayOptions(path="a.csv", start=3.0)),
        (
            "poll:http://h/{symbol}?limit=5?symbols=A,B&price=p&size=q&time=T&unit=s&id=i&every=2",
            PollOptions(
                url="http://h/{symbol}?limit=5",
                symbols=("A", "B"),
                price="p",
                size="q",
                time="T",
                unit="s",
                id="i",
                every_s=2,
            ),
        ),
        (
            "poll:https://h/all?items=d.rows&symbol=s&price=0&venue=x",
            PollOptions(url="https://h/all", items="d.rows", symbol="s", price="0", venue="X"),
        ),
    ],
)  # fmt: skip
def test_a_spec_says_what_to_connect_to(text: str, options: object) -> None:
    assert FeedSpec.parse(text).options == options


@pytest.mark.parametrize(
    ("text", "part", "given", "accepted"),
    [
        ("nasdaq:A", "the feed", "nasdaq", "coinbase"),
        ("", "the feed", "", "sim"),
        ("coinbase:", "the list of symbols", "", "BTC-USD"),
        ("coinbase:BTCUSD", "a symbol", "BTCUSD", "BTC-USD"),
        ("binance:BTC,BTC", "a symbol", "BTC twice", "once"),
        ("coinbase:A-B?url=http://h", "option url", "http://h", "ws://"),
        ("coinbase:A-B?url=ws://h:0", "option url", "ws://h:0", "ws://"),
        ("coinbase:A-B?url=ws://h:x", "option url", "ws://h:x", "ws://"),
        ("coinbase:A-B?url=ws://", "option url", "ws://", "ws://"),
        ("coinbase:A-B?silence=0", "option silence", "0", "0.1 to 3600"),
        ("coinbase:A-B?silence=nan", "option silence", "nan", "0.1 to 3600"),
        ("coinbase:A-B?rate=5", "an option", "rate", "url, rest_url, silence"),
        ("sim:A", "the source", "A", "nothing"),
        ("sim:?rate=200001", "option rate", "200001", "0 to 200000"),
        ("sim:?rate=fast", "option rate", "fast", "0 to 200000"),
        ("sim:?symbols=0", "option symbols", "0", "1 to 10000"),
        ("sim:?symbols=1.5", "option symbols", "1.5", "1 to 10000"),
        ("sim:?seed", "an option", "seed", "name=value"),
        ("sim:?seed=1&seed=1", "option seed", "given twice", "once"),
        ("replay:", "the path", "", "CSV"),
        ("replay:a?speed=0", "option speed", "0", "above 0"),
        ("replay:a?speed=inf", "option speed", "inf", "above 0"),
        ("replay:a?start=-1", "option start", "-1", "subscribed"),
        ("replay:a?venue=1x", "option venue", "1x", "letter"),
        ("poll:ftp://h?price=p", "the URL", "ftp://h", "http"),
        ("poll:http://h/x?symbols=A", "option price", "", "price=p"),
        ("poll:http://h/{symbol}?price=p", "option symbols", "", "{symbol}"),
        ("poll:http://h/x?price=p", "option symbol", "", "symbol=PATH"),
        ("poll:http://h/x?price=p&symbols=A,B", "option symbol", "", "symbol=PATH"),
        ("poll:http://h/{symbol}?price=p&symbols=A,A", "a symbol", "A twice", "once"),
        ("poll:http://h/{symbol}?price=p&symbols=A B", "option symbols", "A B", "commas"),
        ("poll:http://h/x?symbol=s&price=a..b", "option price", "a..b", "path"),
        ("poll:http://h/x?symbol=s&price=p&unit=h", "option unit", "h", "rfc3339"),
    ],
)
def test_a_wrong_spec_names_the_part_the_value_and_what_is_accepted(
    text: str, part: str, given: str, accepted: str
) -> None:
    with pytest.raises(SpecError) as failure:
        FeedSpec.parse(text)

    error = failure.value
    assert (error.part, error.given) == (part, given)
    assert accepted in error.accepted
    for words in (text, part, given, error.accepted):
        assert words in str(error)


def test_only_a_replay_has_an_end() -> None:
    texts = ("coinbase:A-B", "sim", "replay:a.csv", "poll:http://h/?price=p&symbols=A")

    assert [FeedSpec.parse(text).has_end for text in texts] == [False, False, True, False]


def test_feeds_of_one_name_are_numbered_by_order() -> None:
    texts = [
        "sim", "coinbase:A-B", "sim:?seed=2", "replay:a?venue=x", "replay:b?venue=X",
        "poll:http://user@h.example:80/?price=p&symbols=A",
    ]  # fmt: skip
    specs = [FeedSpec.parse(text) for text in texts]

    assert name_feeds(specs) == [
        "sim", "coinbase", "sim-2", "replay-X", "replay-X-2", "poll-h.example_80",
    ]  # fmt: skip
    assert [spec.venue for spec in specs] == ["SIM", "COINBASE", "SIM", "X", "X", "POLL"]
