"""What the Alpaca protocol says becomes ticks and notices. Shapes: docs.alpaca.markets."""

import json
import re

import msgspec
import pytest
from msgspec.msgpack import Ext

from core.market.notice import Cancel, CancelAction, Correction
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side, Tick
from ingest.errors import SpecError
from ingest.spec import AlpacaOptions, FeedSpec
from ingest.times import timestamp_ns
from ingest.venues import Alpaca
from ingest.venues.alpaca import exchange_id
from ingest.venues.protocol import Note, NoteKind, Parsed

# docs.alpaca.markets, Real-time Stock Data: the examples of the page
TRADE = (
    '[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z",'
    '"c":["@","I"],"z":"C"}]'
)
CORRECTION = (
    '[{"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,"oc":["7"," "],'
    '"ci":52983525034326,"cp":39.1809,"cs":440000,"cc":["7"],"z":"B",'
    '"t":"2023-04-06T14:25:06.542305024Z"}]'
)
CANCEL = (
    '[{"T":"x","S":"GOOGL","i":465,"x":"D","p":105.31,"s":300,"a":"C","z":"C",'
    '"t":"2023-04-06T13:15:42.83540958Z"}]'
)
CRYPTO = (
    '[{"T":"t","S":"AVAX/USD","p":47.299,"s":29.205707815,"t":"2024-03-12T10:27:48.858228144Z",'
    '"i":3447222699101865076,"tks":"S"}]'
)
EEM, GOOGL = Symbol("ALPACA:EEM"), Symbol("ALPACA:GOOGL")
CORRECTED = Correction(
    EEM, 1_680_791_106_542_305_024, 52983525033527, 39.1582, 440_000.0,
    52983525034326, 39.1809, 440_000.0,
)  # fmt: skip
CANCELLED = Cancel(GOOGL, 1_680_786_942_835_409_580, 465, 105.31, 300.0)


def test_the_documented_messages_are_read_field_by_field() -> None:
    venue = Alpaca(["*"])

    (stock,) = venue.parse(TRADE).ticks
    (crypto,) = venue.parse(CRYPTO).ticks

    at_ns = 1_614_009_104_208_000_000
    assert stock == Tick(Symbol("ALPACA:AAPL"), 96921, 126.55, 1.0, at_ns, Side.UNKNOWN, 96921)
    ident = 3447222699101865076
    assert crypto == Tick(
        Symbol("ALPACA:AVAX-USD"), ident, 47.299, 29.205707815, 1_710_239_268_858_228_144,
        Side.SELL, ident,
    )  # fmt: skip
    assert venue.parse(CORRECTION).notices == [CORRECTED]
    assert venue.parse(CANCEL).notices == [CANCELLED]


@pytest.mark.parametrize(("text", "expected"), [(CORRECTION, CORRECTED), (CANCEL, CANCELLED)])
def test_msgpack_says_the_same(text: str, expected: Correction | Cancel) -> None:
    (message,) = json.loads(text)
    second, fraction = divmod(expected.event_ns, 10**9)
    message["t"] = Ext(-1, (fraction << 34 | second).to_bytes(8, "big"))

    parsed = Alpaca(["*"], msgpack=True).parse(msgspec.msgpack.encode([message]))

    assert parsed == Parsed(ticks=[], notices=[expected], notes=[], replies=[])


@pytest.mark.parametrize(
    ("payload", "at_ns"),
    [
        ("6553f128", 1_700_000_040 * 10**9),
        ("1d6f34546553f100", 1_700_000_000 * 10**9 + 123_456_789),
        ("00000001ffffffffffffffff", -(10**9) + 1),
    ],
)
def test_timestamps_come_in_three_lengths(payload: str, at_ns: int) -> None:
    assert timestamp_ns(bytes.fromhex(payload)) == at_ns


def test_a_timestamp_of_another_length_or_type_is_no_time() -> None:
    with pytest.raises(ValueError, match="5 bytes"):
        timestamp_ns(b"12345")
    frame = msgspec.msgpack.encode([{"T": "t", "S": "A", "p": 1.0, "s": 1.0, "t": Ext(7, b"1234")}])

    (error,) = Alpaca(["*"], msgpack=True).parse(frame).errors

    assert "extension type 7" in str(error)


def test_a_trade_without_id_has_none_and_a_name_with_a_venue_keeps_it() -> None:
    frame = '[{"T":"t","S":"SIM:A/B","p":1,"s":2,"t":"2021-02-22T15:51:44Z","tks":"B"}]'

    (tick,) = Alpaca(["*"], venue="UP").parse(frame).ticks

    assert (tick.symbol, tick.trade_id, tick.side) == ("SIM:A-B", NO_ID, Side.BUY)


def test_one_bad_message_of_an_array_does_not_take_the_others_along() -> None:
    good = TRADE[1:-1]
    bad = [
        '{"T":"t","S":"A","p":"x","s":1,"t":"2021-02-22T15:51:44Z"}',
        '{"T":"t","S":"A","p":1,"s":1,"t":"yesterday"}',
        '{"T":"t","S":"A","p":1,"s":1,"t":"2021-02-22T15:51:44Z","tks":"Q"}',
        '{"T":"t","S":"a b","p":1,"s":1,"t":"2021-02-22T15:51:44Z"}',
        '{"T":"t","i":-1,"S":"A","p":1,"s":1,"t":"2021-02-22T15:51:44Z"}',
        CANCEL[1:-1].replace('"C"', '"Z"', 1),
        CORRECTION[1:-1].replace("39.1809", "0"),
        "7",
    ]

    parsed = Alpaca(["*"]).parse(f"[{','.join([good, *bad, good])}]")

    assert [tick.trade_id for tick in parsed.ticks] == [96921, 96921]
    assert len(parsed.errors) == len(bad)
    assert not parsed.notices


@pytest.mark.parametrize("frame", ["no JSON", "{}", b"\xff\xff", b"[", ""])
def test_a_frame_that_is_no_array_is_an_error(frame: str | bytes) -> None:
    parsed = Alpaca(["*"]).parse(frame)

    assert len(parsed.errors) == 1
    assert not parsed.ticks


def test_it_logs_in_and_subscribes_when_it_is_told_that_it_may() -> None:
    venue = Alpaca(["AAPL", "BTC/USD"], key="K", secret="S")
    assert venue.subscribe_frames() == []
    assert dict(venue.headers) == {}

    (login,) = venue.parse('[{"T":"success","msg":"connected"}]').replies
    (wish,) = venue.parse('[{"T":"success","msg":"authenticated"}]').replies

    assert json.loads(login) == {"action": "auth", "key": "K", "secret": "S"}
    assert json.loads(wish) == {"action": "subscribe", "trades": ["AAPL", "BTC/USD"]}
    assert venue.probe_frame() == wish


def test_without_a_key_it_subscribes_at_once_and_in_its_codec() -> None:
    venue = Alpaca(["*"], msgpack=True)

    hello = msgspec.msgpack.encode([{"T": "success", "msg": "connected"}])
    (wish,) = venue.parse(hello).replies

    assert msgspec.msgpack.decode(wish) == {"action": "subscribe", "trades": ["*"]}
    assert dict(venue.headers) == {"Content-Type": "application/msgpack"}


@pytest.mark.parametrize(
    ("frame", "note"),
    [
        (
            '[{"T":"error","code":402,"msg":"auth failed"}]',
            Note(NoteKind.REFUSED, "auth failed (code 402)"),
        ),
        ('[{"T":"subscription","trades":["A"]}]', Note(NoteKind.SUBSCRIBED, "subscribed")),
        ('[{"T":"shutdown","msg":"down"}]', Note(NoteKind.LEAVING, "down")),
    ],
)
def test_what_it_is_told_besides_is_noted(frame: str, note: Note) -> None:
    assert Alpaca(["*"]).parse(frame).notes == [note]


@pytest.mark.parametrize(
    "frame",
    [
        '[{"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461}]',
        '[{"T":"hb","t":"2024-03-12T10:37:15.002Z","feeds":{}}]',
        '[{"T":"q","S":"A","bp":1,"c":["R"],"t":"2024-03-12T10:37:15.002Z"}]',
        '[{"T":"success","msg":"something new"}]',
        "[]",
    ],
)
def test_other_messages_are_left_alone(frame: str) -> None:
    parsed = Alpaca(["*"]).parse(frame)

    assert parsed == Parsed(ticks=[], notices=[], notes=[], replies=[])


@pytest.mark.parametrize("given", ['"cp":1e300', '"cp":0', '"cp":-1.5', '"cp":1e-200'])
def test_a_correction_to_an_impossible_price_is_unreadable(given: str) -> None:
    frame = re.sub(r'"cp":[0-9.]+', given, CORRECTION)

    parsed = Alpaca(["*"]).parse(frame)

    assert len(parsed.errors) == 1
    assert not parsed.notices


def test_actions_and_sides_of_a_cancel_are_read() -> None:
    frame = CANCEL.replace('"a":"C"', '"a":"E","tks":"S"')

    (notice,) = Alpaca(["*"]).parse(frame).notices

    assert isinstance(notice, Cancel)
    assert (notice.action, notice.side) == (CancelAction.ERROR, Side.SELL)


def test_more_venues_than_there_are_do_not_fill_the_memory() -> None:
    venue = Alpaca(["*"])
    frames = [TRADE.replace("AAPL", f"V{n}:A") for n in range(70)]

    found = [venue.parse(frame).ticks[0].symbol for frame in frames]

    assert found == [f"V{n}:A" for n in range(70)]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("alpaca:aapl,BRK.B", AlpacaOptions(symbols=("AAPL", "BRK.B"))),
        (
            "alpaca:btc/usd,COINBASE:ETH-USD?url=ws://h/v1/stream&venue=up&encoding=msgpack",
            AlpacaOptions(
                symbols=("BTC/USD", "COINBASE:ETH-USD"), url="ws://h/v1/stream", venue="UP",
                encoding="msgpack",
            ),
        ),
        (
            "alpaca:*?key=K&secret=S%26&silence=9",
            AlpacaOptions(symbols=("*",), key="K", secret="S&", silence_s=9.0),
        ),
    ],
)  # fmt: skip
def test_its_spec_says_where_and_as_whom(text: str, options: AlpacaOptions) -> None:
    spec = FeedSpec.parse(text)

    assert spec.options == options
    assert (spec.name, spec.venue) == ("alpaca", options.venue)
    assert not spec.has_end


@pytest.mark.parametrize(
    "text",
    [
        "alpaca:", "alpaca:A B", "alpaca:A,A", "alpaca:A?key=K", "alpaca:A?secret=S",
        "alpaca:A?encoding=xml", "alpaca:A?venue=1x", "alpaca:A?url=http://h",
    ],
)  # fmt: skip
def test_a_wrong_spec_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        FeedSpec.parse(text)


def test_trades_that_each_exchange_counts_for_itself_are_told_apart() -> None:
    venue = Alpaca(["*"], per_exchange=True)
    frame = ",".join(
        f'{{"T":"t","S":"AAPL","i":17,"p":100,"s":1,"t":"2021-02-22T15:51:44Z"{exchange}}}'
        for exchange in (',"x":"Q"', ',"x":"K"', ',"x":"E"', "", ',"x":null')
    )

    ticks = venue.parse(f"[{frame}]").ticks

    assert [tick.trade_id for tick in ticks] == [17 * 2**48 + 17, 11 * 2**48 + 17, 17, 17, 17]
    assert {tick.seq for tick in ticks} == {17}
    m, d = 13 * 2**48, 4 * 2**48
    (corrected,) = venue.parse(CORRECTION).notices
    assert corrected == msgspec.structs.replace(
        CORRECTED, trade_id=m + CORRECTED.trade_id, new_id=m + CORRECTED.new_id
    )
    (cancelled,) = venue.parse(CANCEL).notices
    assert cancelled == msgspec.structs.replace(CANCELLED, trade_id=d + 465)


def test_ids_of_exchanges_stay_exact_in_javascript_or_are_hashed() -> None:
    most = exchange_id(2**48 - 1, "Z")
    assert most < 2**53
    assert exchange_id(NO_ID, "Q") == NO_ID
    hashed = {exchange_id(2**48, "Q"), exchange_id(2**48, "K"), exchange_id(1, "q"),
              exchange_id(1, "QQ")}  # fmt: skip
    assert len(hashed) == 4
    assert all(2**53 < id_ < 2**63 for id_ in hashed)


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ("", "stream"),
        ("?url=wss://stream.data.alpaca.markets/v2/sip", "exchange"),
        ("?url=wss://stream.data.alpaca.markets/v2/delayed_sip/", "exchange"),
        ("?url=wss://stream.data.alpaca.markets/v2/iex", "stream"),
        ("?url=wss://x/v2/sip&ids=stream", "stream"),
        ("?ids=exchange", "exchange"),
    ],
)
def test_the_address_tells_who_counts_the_trades(options: str, ids: str) -> None:
    spec = FeedSpec.parse(f"alpaca:AAPL{options}")

    assert isinstance(spec.options, AlpacaOptions)
    assert spec.options.ids == ids
