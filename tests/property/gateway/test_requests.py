"""Whatever a client sends, only requests and published errors come out."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.channels import CHANNELS, Channel
from gateway.messages import Auth, RequestError, Subscribe, Unsubscribe, decode_request

KEYS = [channel.value for channel in CHANNELS] + [
    *("action", "symbols", "snapshot", "mode", "interval_ms", "cursor", "resume", "key", "secret"),
    *("orderbooks", "dailyBars", "custom"),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "*", "BTC/USD", "auth", "subscribe", "unsubscribe", "all", "latest"]),
    st.text(max_size=5),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
messages = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)


def check(payload: bytes, *, binary: bool) -> None:
    answer: object
    try:
        answer = decode_request(payload, binary=binary)
    except RequestError as exc:
        answer = exc
    if isinstance(answer, RequestError):
        assert answer.code in (400, 410)
        assert 0 < len(str(answer)) < 500
        return
    request = answer
    assert isinstance(request, Auth | Subscribe | Unsubscribe)
    if not isinstance(request, Auth):
        assert len(set(request.names)) == len(request.names)
        assert all(isinstance(channel, Channel) for channel, _ in request.names)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(payload: bytes, binary: bool) -> None:
    check(payload, binary=binary)


@given(messages)
def test_any_json_object(message: dict[str, object]) -> None:
    check(msgspec.json.encode(message), binary=False)


@given(
    st.recursive(
        scalars | st.binary(max_size=4),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner)
        ),
        max_leaves=10,
    )
)
def test_any_msgpack(message: object) -> None:
    try:
        payload = msgspec.msgpack.encode(message)
    except OverflowError:
        return
    check(payload, binary=True)
