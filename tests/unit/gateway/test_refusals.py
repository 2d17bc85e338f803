"""Refusals as bytes, and which pages may open the stream."""

import msgspec
import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from gateway.channels import Codec
from gateway.origins import OriginError, Origins
from gateway.refusals import ConnectionLimit, farewell, http_refusal
from gateway.sniff import Upgrade

FIELDS = {
    "Host": "h",
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def upgrade(target: str = "/v1/stream", *, method: str = "GET", **changes: str) -> Upgrade:
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    return Upgrade.of((method, target, "HTTP/1.1"), fields.items())


def test_the_accept_key_is_that_of_the_library() -> None:
    answer = ConnectionLimit(3).answer(upgrade())

    response = ServerProtocol().accept(Request("/v1/stream", Headers(FIELDS)))
    assert answer is not None
    assert f"Sec-WebSocket-Accept: {response.headers['Sec-WebSocket-Accept']}\r\n" in (
        answer.decode("latin-1")
    )


@pytest.mark.parametrize(
    ("refused", "codec"),
    [
        (upgrade(), Codec.JSON),
        (upgrade("/v1/stream?encoding=msgpack"), Codec.MSGPACK),
        (upgrade("/v1/stream?encoding=json", Content_Type="application/msgpack"), Codec.JSON),
        (upgrade("/v1/stream?a=b", Content_Type="application/msgpack"), Codec.MSGPACK),
        (upgrade(Content_Type="application/msgpack, x/y"), Codec.MSGPACK),
    ],
)
def test_the_session_that_ends_at_once_speaks_the_codec_that_was_asked_for(
    refused: Upgrade, codec: Codec
) -> None:
    answer = ConnectionLimit(3).answer(refused)

    assert answer is not None
    head, _, frames = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert frames == farewell(406, "connection limit exceeded: 3 per address", codec)


@pytest.mark.parametrize(
    "odd",
    [
        upgrade("/v1/stream?encoding=xml"),
        upgrade(method="POST"),
        upgrade(Upgrade="websocket,"),
        upgrade(Connection="close"),
        upgrade(Sec_WebSocket_Version="8"),
        upgrade(Sec_WebSocket_Key="c2hvcnQ="),
        upgrade(Sec_WebSocket_Key="no base64!"),
        upgrade(Sec_WebSocket_Key="é"),
    ],
)
def test_a_handshake_that_is_not_plain_is_left_to_the_session(odd: Upgrade) -> None:
    assert ConnectionLimit(3).answer(odd) is None


def test_an_http_refusal_has_the_form_of_the_api() -> None:
    answer = http_refusal("403 Forbidden", "no", secure=False)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert msgspec.json.decode(body) == {"code": 403, "message": "no"}
    assert head.splitlines()[:4] == [
        b"HTTP/1.1 403 Forbidden",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: close",
    ]


@pytest.mark.parametrize(
    ("allowed", "origin", "host", "admitted"),
    [
        ((), None, "gate:8080", True),
        ((), "http://gate:8080", "gate:8080", True),
        ((), "https://Gate", "gate", True),
        ((), "https://gate", "gate:443", True),
        ((), "http://[::1]:8080", "[::1]:8080", True),
        ((), "http://gate:8081", "gate:8080", False),
        ((), "http://evil", "gate", False),
        ((), "null", "null", False),
        ((), "", "", False),
        ((), "http://gate, http://gate", "gate", False),
        (("https://desk.example.com",), "https://desk.example.com", "gate", True),
        (("https://desk.example.com",), "http://desk.example.com", "gate", False),
        (("https://desk.example.com",), "http://gate", "gate", True),
        ((" https://A:1 , https://b",), "https://a:1", "gate", True),
        (("https://a:443", "http://b:80"), "https://a", "gate", True),
        (("https://a:443", "http://b:80"), "http://b", "gate", True),
        (("https://a:80",), "https://a", "gate", False),
        (("https://a", "*"), "null", "gate", True),
    ],
)
def test_pages_of_the_own_host_and_of_allowed_ones_are_admitted(
    allowed: tuple[str, ...], origin: str | None, host: str, *, admitted: bool
) -> None:
    assert Origins(allowed).admit(origin, host) is admitted


@pytest.mark.parametrize("text", ["desk.example.com", "https://a/", "https://*.a", "ftp://a"])
def test_what_cannot_be_an_origin_is_refused(text: str) -> None:
    with pytest.raises(OriginError, match="is no origin: expected https://HOST"):
        Origins(["https://fine", text])
