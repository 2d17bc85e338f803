import msgspec
import pytest

from gateway.channels import Channel, Mode
from gateway.messages import (
    Auth,
    Options,
    RequestError,
    Subscribe,
    Unsubscribe,
    decode_request,
    error,
)


def decode(**fields: object) -> Auth | Subscribe | Unsubscribe:
    return decode_request(msgspec.json.encode(fields), binary=False)


def refusal(**fields: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(**fields)
    return caught.value


def test_json_and_msgpack_mean_the_same() -> None:
    fields = {"action": "subscribe", "trades": ["BTC/USD"], "bars": None}
    expected = Subscribe(((Channel.TRADES, "BTC/USD"),))

    assert decode(**fields) == expected
    assert decode_request(msgspec.msgpack.encode(fields), binary=True) == expected
    assert decode_request(msgspec.json.encode(fields), binary=True) == expected


def test_what_sdks_send_as_empty_is_legal() -> None:
    asked = decode(action="subscribe", news=None, pricing=[], orderbooks={}, custom="", lulds=None)

    assert asked == Subscribe(())


def test_symbols_stand_for_trades_and_minute_bars() -> None:
    asked = decode(action="subscribe", symbols=["A", "B"], trades=["A"])

    assert asked == Subscribe(
        (
            (Channel.TRADES, "A"),
            (Channel.BARS, "A"),
            (Channel.TRADES, "B"),
            (Channel.BARS, "B"),
        )
    )


def test_options_are_read_and_what_is_left_out_stays_as_it_was() -> None:
    full = decode(
        action="subscribe", mode="latest", interval_ms=0, cursor=True, resume="abc", snapshot=True
    )
    none = decode(action="subscribe", mode=None, interval_ms=None, cursor=None, resume="")

    assert full == Subscribe(
        (), snapshot=True, options=Options(Mode.LATEST, 0, cursor=True), resume="abc"
    )
    assert none == Subscribe(())


def test_unsubscribe_names_channels_likewise() -> None:
    assert decode(action="unsubscribe", bars5Min=["*"]) == Unsubscribe(((Channel.BARS_5, "*"),))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"key": "K", "secret": "S"}, Auth("K", "S")),
        ({"key": "K", "secret": None}, Auth("K", "")),
        ({}, Auth("", "")),
    ],
)
def test_auth(fields: dict[str, object], expected: Auth) -> None:
    assert decode(action="auth", **fields) == expected


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"action": "auth", "key": ["k"]}, "key: expected text, was a list"),
        ({"action": "auth", "secret": 1}, "secret: expected text, was int"),
        ({}, "one of auth, subscribe, unsubscribe, was missing"),
        ({"action": 1}, "one of auth, subscribe, unsubscribe, was 1"),
        ({"action": "subscribe", "trades": {}}, "trades: expected a list of symbols"),
        ({"action": "subscribe", "symbols": [None]}, "symbols: expected symbols as text"),
        ({"action": "subscribe", "x" * 99: ["A"]}, "unknown channel"),
        ({"action": "subscribe", "snapshot": 1}, "snapshot: expected true or false, was 1"),
        ({"action": "subscribe", "mode": "other"}, 'mode: expected "all" or "latest", was'),
        ({"action": "subscribe", "mode": ["all"]}, "mode: expected"),
        ({"action": "subscribe", "interval_ms": 5_001}, "a whole number from 0 to 5000, was 5001"),
        ({"action": "subscribe", "interval_ms": -1}, "interval_ms: expected"),
        ({"action": "subscribe", "interval_ms": "100"}, "interval_ms: expected"),
        ({"action": "subscribe", "interval_ms": 0.5}, "interval_ms: expected"),
        ({"action": "subscribe", "interval_ms": True}, "interval_ms: expected"),
        ({"action": "subscribe", "cursor": "yes"}, "cursor: expected true or false"),
        ({"action": "subscribe", "resume": 1}, "resume: expected the text of a cursor"),
    ],
)
def test_a_bad_field_is_named_with_what_is_accepted(fields: dict[str, object], hint: str) -> None:
    error = refusal(**fields)

    assert error.code == 400
    assert hint in str(error)
    assert len(str(error)) < 400


def test_channels_of_other_endpoints_are_410() -> None:
    error = refusal(action="subscribe", dailyBars=["A"])

    assert error.code == 410
    assert "updatedBars5Min" in str(error)


@pytest.mark.parametrize(
    ("payload", "binary"),
    [
        (b"{", False),
        (b"[1]", False),
        (b"[" * 100_000, False),
        (b"\xff", False),
        (b"", True),
        (b"\x91\x01", True),
        (b"\x91" * 100_000, True),
        (b"\x81\x01\x02", True),
        (b"\x81\xa1a\xd4\xff\x00", True),
    ],
)
def test_what_is_no_object_is_400(payload: bytes, binary: bool) -> None:
    with pytest.raises(RequestError) as caught:
        decode_request(payload, binary=binary)

    assert caught.value.code == 400


def test_only_a_refused_key_has_the_very_words_of_the_published_protocol() -> None:
    refused = {"symbols": ["X"]}

    assert error(402, "auth failed: why", published=True) == {
        "T": "error", "code": 402, "msg": "auth failed", "reason": "why",
    }  # fmt: skip
    assert error(402, "auth failed: why", published=False)["msg"] == "auth failed: why"
    assert error(410, "X is no stock", refused, published=True) == {
        "T": "error", "code": 410, "msg": "X is no stock", "symbols": ["X"],
    }  # fmt: skip
