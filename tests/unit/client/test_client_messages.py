"""Frames of the gateway's own encoder, read by the client; answers of the HTTP API; times."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.msgpack import Ext

from core.market.bar import Bar as MarketBar
from core.market.notice import Cancel as MarketCancel
from core.market.notice import CancelAction, GapState
from core.market.notice import Correction as MarketCorrection
from core.market.notice import Gap as MarketGap
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side
from core.market.timeframe import Timeframe
from gateway import encode, notices, silence
from gateway.channels import Codec
from tickgate.client import answers
from tickgate.client.messages import (
    Bar,
    Cancel,
    Correction,
    Gap,
    Heartbeat,
    RunningBar,
    Shutdown,
    Stale,
    Trade,
    UpdatedBar,
)
from tickgate.client.times import from_text, from_timestamp, ns_to_text, to_text
from tickgate.client.wire import (
    Cursor,
    Decoder,
    Encoding,
    Error,
    Subscription,
    Success,
    WireError,
)

AT_NS = 1_710_239_820_123_456_789
START_NS = 1_710_239_820_000_000_000
CODECS = [(Codec.JSON, Encoding.JSON), (Codec.MSGPACK, Encoding.MSGPACK)]
both = pytest.mark.parametrize(("codec", "encoding"), CODECS, ids=["json", "msgpack"])


def framed(items: bytes, codec: Codec) -> bytes:
    return b"[" + items + b"]" if codec is Codec.JSON else b"\x91" + items


def market_bar(**changes: Any) -> MarketBar:
    fields: dict[str, Any] = {
        "symbol": Symbol("X:A"),
        "timeframe": Timeframe.MIN_5,
        "start_ns": START_NS,
        "open": 1.0,
        "high": 3.0,
        "low": 0.5,
        "close": 2.0,
        "volume": 4.5,
        "trades": 7,
        "vwap": 1.25,
    }
    return MarketBar(**(fields | changes))


@both
def test_trades_are_read_as_the_gateway_writes_them(codec: Codec, encoding: Encoding) -> None:
    full = (0, AT_NS, 1, 42, 71856.14, 0.012, int(Side.BUY))
    bare = (0, START_NS, 2, NO_ID, 1.5, 2.0, int(Side.UNKNOWN))
    frames = [framed(encode.trades([row], "A/B", codec), codec) for row in (full, bare)]

    decoder = Decoder(encoding)

    assert [decoder.decode(frame) for frame in frames] == [
        [Trade("A/B", 71856.14, 0.012, AT_NS, 42, "B")],
        [Trade("A/B", 1.5, 2.0, START_NS)],
    ]


@both
def test_bars_of_each_kind_have_a_type_of_their_own(codec: Codec, encoding: Encoding) -> None:
    closed = framed(encode.bars([market_bar(gap=True)], "b", "A", codec), codec)
    revised = market_bar(timeframe=Timeframe.MIN_1, rev=3)
    updated = framed(encode.bars([revised], "u", "A", codec), codec)
    running = framed(encode.bars([market_bar(final=False)], "r", "A", codec), codec)
    decoder = Decoder(encoding)

    values = (START_NS, 1.0, 3.0, 0.5, 2.0, 4.5, 7, 1.25)
    assert decoder.decode(closed) == [Bar("A", "5Min", *values, gap=True)]
    assert decoder.decode(updated) == [UpdatedBar("A", "1Min", *values, rev=3)]
    assert decoder.decode(running) == [RunningBar("A", "5Min", *values, final=False)]


@both
def test_corrections_cancels_and_gaps_are_read(codec: Codec, encoding: Encoding) -> None:
    correction = MarketCorrection(
        symbol=Symbol("X:A"), trade_id=1, price=2.0, size=3.0, new_id=4, new_price=5.0,
        new_size=6.0, event_ns=AT_NS,
    )  # fmt: skip
    cancel = MarketCancel(
        symbol=Symbol("X:A"), trade_id=1, price=2.0, size=3.0, event_ns=AT_NS, side=Side.SELL,
        action=CancelAction.ERROR,
    )  # fmt: skip
    gap = MarketGap(
        symbol=Symbol("X:A"), from_ns=START_NS, to_ns=AT_NS, state=GapState.OPEN, first_id=5,
        last_id=9,
    )  # fmt: skip
    decoder = Decoder(encoding)
    items = [notices.notice_item(notice, "A", codec) for notice in (correction, cancel, gap)]

    found = [decoder.decode(framed(item, codec))[0] for item in items]

    assert found == [
        Correction("A", 1, 2.0, 3.0, 4, 5.0, 6.0, AT_NS),
        Cancel("A", 1, 2.0, 3.0, AT_NS, "E", "S"),
        Gap("A", START_NS, AT_NS, "open", ("trades",), 5, 9),
    ]


@both
def test_what_tells_of_silence_and_of_the_session_is_read(codec: Codec, encoding: Encoding) -> None:
    said = [
        {"T": "hb", "t": encode.time_value(AT_NS, codec),
         "feeds": {"a": encode.time_value(START_NS, codec), "b": None}},
        {"T": "stale", "feed": "a", "venue": "A", "stale": True, "t": None,
         "since": encode.time_value(AT_NS, codec)},
        {"T": "stale", "feed": "a", "venue": "A", "stale": False, "ended": True,
         "t": encode.time_value(START_NS, codec), "since": encode.time_value(AT_NS, codec)},
        {"T": "shutdown", "msg": "going down", "within_s": 5},
        {"T": "success", "msg": "connected"},
        {"T": "subscription", "trades": ["A"], "quotes": [], "bars5Min": ["*"]},
        {"T": "error", "code": 400, "msg": "no"},
        {"T": "cursor", "c": "abc"},
    ]  # fmt: skip
    decoder = Decoder(encoding)

    found = [decoder.decode(encode.control(message, codec))[0] for message in said]

    assert found == [
        Heartbeat(AT_NS, {"a": START_NS, "b": None}),
        Stale("a", "A", True, None, AT_NS),
        Stale("a", "A", False, START_NS, AT_NS, ended=True),
        Shutdown("going down", 5.0),
        Success("connected"),
        Subscription(trades=("A",), bars_5min=("*",)),
        Error(400, "no"),
        Cursor("abc"),
    ]


def test_the_gateways_own_heartbeat_is_read() -> None:
    state = silence.FeedState(
        feed="sim", venue="SIM", newest_event_ns=START_NS, last_tick_ns=AT_NS,
        quiet_since_ns=AT_NS, stale=False, ended=False,
    )  # fmt: skip
    frame = silence.heartbeats([state], AT_NS)[Codec.MSGPACK]

    assert Decoder(Encoding.MSGPACK).decode(frame[2:]) == [Heartbeat(AT_NS, {"sim": START_NS})]


def test_types_of_a_newer_gateway_are_left_out_and_the_rest_is_kept() -> None:
    frame = b'[{"T":"new","S":1},{"T":"cursor","c":"x","more":1}]'

    assert Decoder(Encoding.JSON).decode(frame) == [Cursor("x")]


@pytest.mark.parametrize(
    "frame",
    [b"hello", b"{}", b'[{"T":"t","S":"A"}]', b'[{"T":"hb","t":"yesterday"}]', b"[1]"],
)
def test_what_is_no_frame_of_the_stream_is_an_error_in_words(frame: bytes) -> None:
    with pytest.raises(WireError, match="no frame of the stream"):
        Decoder(Encoding.JSON).decode(frame)


def test_a_timestamp_of_a_wrong_length_is_an_error() -> None:
    frame = msgspec.msgpack.encode([{"T": "hb", "t": Ext(-1, b"123")}])

    with pytest.raises(WireError):
        Decoder(Encoding.MSGPACK).decode(frame)


def test_times_are_also_datetimes_exact_to_the_microsecond() -> None:
    whole = datetime(2024, 3, 12, 10, 37, tzinfo=UTC)
    fine = whole + timedelta(microseconds=123_456)

    assert Trade("A", 1, 1, AT_NS).time == fine
    assert Bar("A", "1Min", START_NS, 1, 1, 1, 1, 1, 1, 1).start == whole
    assert Correction("A", 1, 1, 1, 1, 1, 1, AT_NS).time == fine
    assert Cancel("A", 1, 1, 1, AT_NS).time == fine
    assert Heartbeat(AT_NS, {}).time == fine
    assert Stale("a", "A", True, None, AT_NS).since == fine
    gap = Gap("A", START_NS, AT_NS, "lost")
    assert (gap.start, gap.end) == (whole, fine)


@pytest.mark.parametrize("time_ns", [0, 1, AT_NS, START_NS, 2**32 * 10**9, 2**34 * 10**9 + 5])
def test_times_survive_text_and_timestamps(time_ns: int) -> None:
    assert from_text(encode.rfc3339(time_ns)) == time_ns
    assert from_timestamp(encode.timestamp(time_ns)) == time_ns
    assert from_text(ns_to_text(time_ns)) == time_ns


def test_times_of_requests_are_written_as_the_gateway_reads_them() -> None:
    paris = timezone(timedelta(hours=1))

    assert to_text("2024-03-12") == "2024-03-12"
    assert to_text(date(2024, 3, 12)) == "2024-03-12"
    assert to_text(0) == "1970-01-01T00:00:00.000000000Z"
    assert to_text(AT_NS) == to_text(np.int64(AT_NS)) == "2024-03-12T10:37:00.123456789Z"
    assert to_text(datetime(2024, 3, 12, 11, 0, 0, 5, paris)) == "2024-03-12T10:00:00.000005Z"
    assert from_text("2024-03-12T11:00:00.5+01:00") == from_text("2024-03-12T10:00:00.500Z")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_text(datetime(2024, 3, 12))  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        from_text("2024-03-12T11:00:00")


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (AT_NS // 10**9, "seconds"),
        (AT_NS // 10**6, "milliseconds"),
        (AT_NS // 10**3, "microseconds"),
        (1, "seconds"),
        (-3600, "seconds"),
    ],
)
def test_a_number_that_cannot_be_meant_as_nanoseconds_is_refused_with_its_likely_unit(
    time: int, unit: str
) -> None:
    with pytest.raises(ValueError, match=f"{time} looks like {unit}; expected UNIX nanoseconds, a"):
        to_text(time)


@pytest.mark.parametrize("time", [1_710_239_820.5, True, timedelta(minutes=1), [AT_NS]])
def test_a_time_of_another_type_is_refused_in_words(time: Any) -> None:
    with pytest.raises(TypeError, match="expected UNIX nanoseconds, a datetime with a zone, a da"):
        to_text(time)


def test_snapshots_and_symbols_may_lack_everything() -> None:
    trade = answers.TradeFields("2024-03-12T10:37:00Z", 1.0, 2.0)
    none = answers.SnapshotsAnswer({"A": None})
    entry = msgspec.convert(
        {"symbols": [{"symbol": "X:A", "venue": "X", "ticker": "A", "last_trade": None}]},
        answers.SymbolsAnswer,
    )

    assert answers.read_snapshots(none) == {"A": answers.Snapshot("A")}
    assert answers.read_symbols(entry) == [answers.SymbolInfo("X:A", "X", "A")]
    assert list(answers.read_trades({"A": [trade]})) == [Trade("A", 1.0, 2.0, START_NS)]


def test_a_snapshot_has_the_day_and_the_running_minute() -> None:
    row = {"t": "2024-03-12T10:37:00Z", "o": 1, "h": 3, "l": 0.5, "c": 2, "v": 4, "n": 7, "vw": 1.5}
    answer = msgspec.convert(
        {"snapshots": {"A": {
            "latestTrade": {"t": "2024-03-12T10:37:00Z", "p": 2, "s": 1, "i": 5, "tks": "B"},
            "latestQuote": None, "minuteBar": {**row, "final": False}, "dailyBar": row}}},
        answers.SnapshotsAnswer,
    )  # fmt: skip

    found = answers.read_snapshots(answer)["A"]

    values = (START_NS, 1.0, 3.0, 0.5, 2.0, 4.0, 7, 1.5)
    assert found.latest_trade == Trade("A", 2.0, 1.0, START_NS, 5, "B")
    assert found.minute_bar == RunningBar("A", "1Min", *values, final=False)
    assert found.daily_bar == Bar("A", "1Day", *values)
    assert found.prev_daily_bar is None


def test_pages_count_their_rows() -> None:
    bars = msgspec.convert({"bars": {}}, answers.BarsPage)
    row = {"t": "2024-03-12T10:37:00Z", "p": 2, "s": 1}
    trades = msgspec.convert(
        {"trades": {"A": [row], "B": [row, row]}, "next_page_token": "x"}, answers.TradesPage
    )

    assert (bars.count, trades.count) == (0, 3)


def test_bars_of_the_past_carry_the_timeframe_that_was_asked_for() -> None:
    row = {"t": "2024-03-12T10:37:00Z", "o": 1, "h": 3, "l": 0.5, "c": 2, "v": 4, "n": 7, "vw": 1.5}
    page = msgspec.convert({"bars": {"A": [{**row, "rev": 2, "gap": True}]}}, answers.BarsPage)

    found = list(answers.read_bars(page.bars, "90Min"))

    assert found == [Bar("A", "90Min", START_NS, 1, 3, 0.5, 2, 4, 7, 1.5, rev=2, gap=True)]
