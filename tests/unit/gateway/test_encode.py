import datetime as dt
from typing import Any

import msgspec
import pytest

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.tick import NO_ID
from core.market.timeframe import Timeframe
from gateway.channels import Codec
from gateway.encode import bar_tails, control, items, prefix, rfc3339, timestamp, trade_tails
from gateway.frames import Fragment, frame, frame_batch

S_NS = 1_000_000_000
AT_NS = 1_700_000_000 * S_NS
CODECS = pytest.mark.parametrize("codec", list(Codec))


def decode(payload: bytes, codec: Codec) -> Any:
    return (msgspec.json if codec.is_text else msgspec.msgpack).decode(payload)


def trade(codec: Codec, *, at_ns: int = AT_NS, ident: int = 7, side: int = 1) -> dict[str, Any]:
    (tail,) = trade_tails([(0, at_ns, 1, ident, 0.1, 1e-7, side)], codec)
    (item,) = items(prefix("t", "BTC/USD", codec), [tail])
    return decode(item, codec)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "2023-11-14T22:13:20Z"),
        (5_000_000, "2023-11-14T22:13:20.005Z"),
        (5_000, "2023-11-14T22:13:20.000005Z"),
        (123_456_789, "2023-11-14T22:13:20.123456789Z"),
    ],
)
def test_times_have_the_digits_they_need(ns: int, text: str) -> None:
    assert rfc3339(AT_NS + ns) == text
    assert trade(Codec.JSON, at_ns=AT_NS + ns)["t"] == text


@pytest.mark.parametrize("time_ns", [0, AT_NS, AT_NS + 1, 2**32 * S_NS, -1_000])
def test_a_msgpack_timestamp_is_the_one_that_others_write(time_ns: int) -> None:
    class Raw(msgspec.Struct):
        t: dt.datetime

    encoded = msgspec.msgpack.encode({"t": msgspec.msgpack.Ext(-1, timestamp(time_ns))})
    moment = msgspec.msgpack.decode(encoded, type=Raw).t

    exact = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=time_ns // 1000)
    assert moment == exact


@CODECS
def test_a_trade(codec: Codec) -> None:
    made = trade(codec)

    assert next(iter(made)) == "T"
    made.pop("t")
    assert made == {"T": "t", "S": "BTC/USD", "p": 0.1, "s": 1e-7, "i": 7, "tks": "B"}


@CODECS
def test_what_the_venue_does_not_say_is_left_out(codec: Codec) -> None:
    made = trade(codec, ident=NO_ID, side=0)

    assert set(made) == {"T", "S", "p", "s", "t"}
    assert trade(codec, ident=-5, side=2)["i"] == -5


def test_a_whole_second_may_be_followed_by_another() -> None:
    rows = [(0, AT_NS + n * S_NS // 2, 0, n, 1.0, 1.0, 0) for n in range(4)]

    made = items(prefix("t", "A", Codec.JSON), trade_tails(rows, Codec.JSON))

    assert [decode(item, Codec.JSON)["t"][-7:] for item in made] == [
        "2:13:20Z"[1:],
        "20.500Z",
        "2:13:21Z"[1:],
        "21.500Z",
    ]


@CODECS
@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({}, {}),
        ({"rev": 3, "gap": True}, {"rev": 3, "gap": True}),
        ({"final": False}, {"tf": "1Min", "final": False}),
        ({"timeframe": Timeframe.MIN_5}, {"tf": "5Min"}),
        (
            {"timeframe": Timeframe.MIN_15, "rev": 1, "gap": True, "final": False},
            {"tf": "15Min", "rev": 1, "final": False, "gap": True},
        ),
    ],
)
def test_a_bar(codec: Codec, changes: dict[str, Any], extra: dict[str, Any]) -> None:
    plain = Bar(Symbol("A:B"), Timeframe.MIN_1, AT_NS, 1.0, 3.0, 0.5, 2.0, 4.0, 5, 1.5)
    bar = msgspec.structs.replace(plain, **changes)

    (item,) = items(prefix("b", "B", codec), bar_tails([bar], codec))
    made = decode(item, codec)

    expected = {"T": "b", "S": "B", "o": 1.0, "h": 3.0, "l": 0.5, "c": 2.0, "v": 4.0}
    moment = made.pop("t")
    assert next(iter(made)) == "T"
    assert made == expected | {"n": 5, "vw": 1.5} | extra
    if codec.is_text:
        assert moment == rfc3339(AT_NS)
    else:
        assert moment.timestamp() == 1_700_000_000


def test_the_welcome_is_as_published() -> None:
    welcome = {"T": "success", "msg": "connected"}

    assert control(welcome, Codec.JSON) == b'[{"T":"success","msg":"connected"}]'
    published = "9182a154a773756363657373a36d7367a9636f6e6e6563746564"
    assert control(welcome, Codec.MSGPACK).hex() == published


def payloads(framed: bytes) -> list[bytes]:
    """Read server frames, as RFC 6455 says."""
    found = []
    while framed:
        size, at = framed[1], 2
        if size == 126:
            size, at = int.from_bytes(framed[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(framed[2:10], "big"), 10
        found.append(framed[at : at + size])
        framed = framed[at + size :]
    return found


@CODECS
@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_frame_has_the_header_of_its_length(codec: Codec, size: int) -> None:
    framed = frame(b"x" * size, codec)

    assert framed[0] == 0x80 | codec.opcode
    assert payloads(framed) == [b"x" * size]


@CODECS
@pytest.mark.parametrize("count", [1, 15, 16, 300, 70_000])
def test_a_batch_is_one_array(codec: Codec, count: int) -> None:
    one = control({"n": 1}, codec)[1:]
    item = one[:-1] if codec.is_text else one
    fragment = Fragment.of([item] * count, codec)

    (payload,) = payloads(frame_batch([fragment], codec, 10_000_000))

    assert decode(payload, codec) == [{"n": 1}] * count


@CODECS
def test_a_large_batch_is_cut_into_messages_within_the_bound(codec: Codec) -> None:
    made: list[Fragment] = []
    for size in (1, 30, 2, 5):
        rows = [(0, AT_NS, 0, n, 1.0, 1.0, 1) for n in range(size)]
        made.append(Fragment.of(items(prefix("t", "A", codec), trade_tails(rows, codec)), codec))
    large = prefix("t", "L" * 2_000, codec)
    made.insert(2, Fragment.of(items(large, trade_tails(rows[:1], codec)), codec))

    messages = payloads(frame_batch(made, codec, 1_024))

    decoded = [decode(message, codec) for message in messages]
    assert [len(m["S"]) for message in decoded for m in message] == [1] * 31 + [2_000] + [1] * 7
    assert all(len(p) <= 1_024 for p, m in zip(messages, decoded, strict=True) if len(m) > 1)
    assert sum(len(p) > 1_024 for p in messages) == 1
