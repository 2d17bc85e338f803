"""Small decisions of the client: addresses, waits, names, tokens, the words of errors."""

import base64
import json
import re
from typing import Any

import pytest

from tickgate.client import Client, connect, errors
from tickgate.client.address import Credentials, http_url, is_local, shown, stream_url
from tickgate.client.backoff import Backoff
from tickgate.client.tokens import renewal_s
from tickgate.client.wanted import Wanted, as_said, by_channel, by_symbol
from tickgate.client.wire import Encoding


@pytest.mark.parametrize(
    ("url", "stream", "http"),
    [
        ("ws://h:8080", "ws://h:8080/v1/stream", "http://h:8080"),
        ("http://h:8080/", "ws://h:8080/v1/stream", "http://h:8080"),
        ("wss://h/feed", "wss://h/feed/v1/stream", "https://h/feed"),
        ("https://h/feed/v1/stream", "wss://h/feed/v1/stream", "https://h/feed"),
    ],
)
def test_one_address_leads_to_the_stream_and_to_http(url: str, stream: str, http: str) -> None:
    assert stream_url(url, Encoding.MSGPACK) == f"{stream}?encoding=msgpack"
    assert http_url(url) == http


@pytest.mark.parametrize("url", ["ws://u:geheim@h:1", "https://u:geheim@h:1/feed?token=geheim"])
def test_what_is_secret_in_an_address_is_in_no_error(url: str) -> None:
    client = Client(url)

    assert "geheim" not in f"{shown(url)} {client!r} {http_url(url)}"
    assert "h:1" in shown(url)
    assert "geheim" in stream_url("ws://u:geheim@h", Encoding.JSON)  # it is shown to the gateway


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("ws://127.0.0.1:8080", True),
        ("http://[::1]:8080/", True),
        ("https://localhost", True),
        ("wss://10.0.0.1", False),
        ("https://gateway.example", False),
    ],
)
def test_a_gateway_on_this_machine_is_known_by_its_address(url: str, *, local: bool) -> None:
    assert is_local(url) is local


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://h", "ws://", ""])
def test_what_is_no_address_is_refused_in_words(url: str) -> None:
    with pytest.raises(ValueError, match="no address of a gateway"):
        stream_url(url, Encoding.JSON)


def test_credentials_are_shown_to_the_gateway_and_to_nobody_else() -> None:
    key, token = Credentials("id", "hidden"), Credentials(token="hidden")

    assert key.message() == {"action": "auth", "key": "id", "secret": "hidden"}
    assert key.headers() == {"APCA-API-KEY-ID": "id", "APCA-API-SECRET-KEY": "hidden"}
    assert token.message() == {"action": "auth", "key": "oauth", "secret": "hidden"}
    assert token.headers() == {"Authorization": "Bearer hidden"}
    assert Credentials().message() is None
    assert Credentials().headers() == {}
    stream = connect("ws://me:hidden@h/?t=hidden", key="id", secret="hidden", token="hidden")
    assert "hidden" not in f"{key!r} {token!r} {stream!r} {connect('me:hidden')!r}"


@pytest.mark.parametrize("part", ["key", "secret", "token"])
def test_what_no_header_can_carry_is_said_and_not_told(part: str) -> None:
    known: dict[str, Any] = {"key": "id"} if part == "secret" else {}

    for odd in ("hidden\n", "hidden€"):
        with pytest.raises(ValueError, match=f"^{part}: expected text that an HTTP") as caught:
            Client("http://127.0.0.1:1", **{**known, part: odd}).status()
        assert "hidden" not in str(caught.value)

    function: Any = lambda: "hidden"  # noqa: E731  as connect takes one
    with pytest.raises(TypeError, match=f"^{part}: expected text, was function"):
        Client("http://127.0.0.1:1", **{**known, part: function}).status()


def test_waits_are_spread_between_the_floor_and_a_doubling_ceiling() -> None:
    backoff = Backoff(first_s=1.0, cap_s=30.0, floor_s=0.1)

    assert [backoff.wait_s(attempt, 0.0) for attempt in (0, 5, 99)] == [0.1] * 3
    longest = [backoff.wait_s(attempt, 1.0) for attempt in (0, 1, 2, 5, 10**6)]
    assert longest == pytest.approx([1.0, 2.0, 4.0, 30.0, 30.0])
    assert Backoff(first_s=0.05).wait_s(0, 0.7) == 0.1


def test_a_gateway_that_is_back_has_its_clients_again_within_five_seconds() -> None:
    assert [Backoff().wait_s(attempt, 1.0) for attempt in (0, 1, 2, 3, 99)] == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("limit", [0, -1, "-2", "many"])
def test_a_limit_below_one_is_refused_before_anything_is_asked(limit: str | int) -> None:
    client = Client("http://127.0.0.1:1")

    for call in (client.bars, client.trades):
        with pytest.raises(ValueError, match="limit: expected "):
            call("S001", limit=limit)


def test_a_limit_that_is_no_whole_number_is_refused_before_anything_is_asked() -> None:
    limit: Any = 10.5
    with pytest.raises(TypeError, match=r"limit: expected a whole number from 1, was 10\.5"):
        Client("http://127.0.0.1:1").bars("S001", limit=limit)


def test_a_time_that_cannot_be_meant_is_refused_before_anything_is_asked() -> None:
    client = Client("http://127.0.0.1:1")
    seconds: Any = 1_710_239_820

    with pytest.raises(ValueError, match="looks like seconds"):
        client.bars("S001", "1Min", seconds)
    with pytest.raises(ValueError, match="looks like seconds"):
        client.trades("S001", end=seconds)
    with pytest.raises(TypeError, match=r"was 1710239820\.0 \(float\); expected UNIX"):
        client.bars("S001", "1Min", float(seconds))
    for far in (2**63, -(10**30)):
        with pytest.raises(ValueError, match="is no UNIX time in nanoseconds"):
            client.trades("S001", end=far)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "newest"}, "mode: expected all or latest, was 'newest'"),
        (
            {"interval_ms": -1},
            "interval_ms: expected a whole number from 0 to 5000, or None, was -1",
        ),
        ({"interval_ms": 5_001}, "was 5001"),
        ({"interval_ms": 0.5}, "was 0.5"),
        ({"interval_ms": True}, "was True"),
    ],
)
def test_options_of_a_stream_that_make_no_sense_are_no_refusal_of_a_symbol(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        connect("ws://127.0.0.1:1", **options)
    assert connect("ws://127.0.0.1:1", mode="latest", interval_ms=0).interval_ms == 0


def test_channels_are_named_as_on_the_wire_and_each_symbol_once() -> None:
    assert by_channel({"trades": "A", "updated_bars_15min": ["A", "B", "A"], "bars": []}) == {
        "trades": ("A",),
        "updatedBars15Min": ("A", "B"),
    }


def test_an_unknown_channel_or_symbol_is_a_mistake_in_the_code() -> None:
    with pytest.raises(TypeError, match="no channel 'tardes'; there are trades, bars"):
        by_channel({"tardes": ["A"]})
    with pytest.raises(TypeError, match="trades: expected symbols as text, was 5"):
        by_channel({"trades": [5]})
    with pytest.raises(TypeError, match="trades: expected symbols as text, was 7"):
        by_channel({"trades": 7})


def test_the_set_is_what_the_gateway_says() -> None:
    wanted = Wanted()
    assert not wanted

    wanted.replace(as_said({"trades": ("A", "C"), "updated_bars_5min": ("A",), "bars": ()}))

    assert wanted.by_channel() == {"trades": ("A", "C"), "updatedBars5Min": ("A",)}
    assert by_symbol(wanted.by_channel()) == {"A": ("trades", "updatedBars5Min"), "C": ("trades",)}
    wanted.replace({})
    assert not wanted


def jwt(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{body}.signature"


def test_a_token_is_renewed_before_it_expires() -> None:
    assert renewal_s(jwt({"exp": 4600}), now_s=1000) == 3540
    assert renewal_s(jwt({"exp": 1100}), now_s=1000) == 80
    assert renewal_s(jwt({"exp": 900}), now_s=1000) == 1
    assert renewal_s(jwt({"exp": 4600, "iat": "then"}), now_s=1000) == 3540


@pytest.mark.parametrize("now_s", [1000 - 7200, 999, 4601, 1000 + 7200])
def test_a_clock_that_is_hours_wrong_does_not_make_a_token_due_at_once_or_never(
    now_s: float,
) -> None:
    assert renewal_s(jwt({"iat": 1000, "exp": 4600}), now_s=now_s) == 3540


@pytest.mark.parametrize("token", ["KEY:SECRET", "a.b", "a.!.c", "a.AAAA.c", jwt([1]), jwt({})])
def test_a_token_that_does_not_say_when_it_expires_is_kept(token: str) -> None:
    assert renewal_s(token, now_s=0) is None


def test_errors_say_what_to_do() -> None:
    assert "check key=" in str(errors.AuthFailed("auth failed"))
    assert "too many (code 405)" in str(errors.SymbolRefused(405, "too many"))
    assert "is the gateway running" in str(errors.Unreachable("ws://h", "refused"))
    assert "async with connect" in str(errors.StreamClosed())
    assert "pip install pandas" in str(errors.MissingPackage("pandas"))
    slow_down = errors.HistoryError(429, "too many requests", retry_after_s=3.0)
    assert (slow_down.code, slow_down.retry_after_s) == (429, 3.0)
