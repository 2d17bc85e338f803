"""What no well-behaved client sends, and whether the answers are those of docs/wire-protocol.md.

Blocking sockets: hypothesis calls the tests one example at a time.
"""

import re
import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.integration.gateway.raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, upgrade_request
from tests.property.gateway.test_requests import messages

ERRORS = frozenset((400, 401, 402, 403, 404, 405, 406, 407, 410))
"""The documented codes but 500, which a client must not be able to bring about."""

CLOSES = frozenset((1002, 1007, 1008, 1009))
"""The documented close codes that a client's behaviour has, but 1011; an error comes first."""

STATUSES = frozenset((101, 200, 400, 403, 404, 405, 411, 413, 414, 417, 426, 431, 505))
"""Answers to HTTP requests: the client's fault each, also 505 (HTTP Version Not Supported)."""

_T = frozenset(("success", "error", "subscription", "hb", "stale", "cursor", "gap"))
_TIMEOUT_S = 10.0
_GIANT = (125, 126, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 1 << 31, (1 << 63) - 1, (1 << 64) - 1)


class Sent(bytes):
    """Bytes that are shown in short."""

    __slots__ = ()

    def __repr__(self) -> str:
        more = len(self) - 2_000
        return super().__repr__() if more <= 0 else f"{bytes(self[:2_000])!r} and {more} more"


def frame_bytes(
    payload: bytes,
    *,
    opcode: int = TEXT,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\1\2\3\4",
    length: int | None = None,
) -> bytes:
    """A frame of any kind; *length* is what it says to be, if not the truth."""
    says = len(payload) if length is None else length
    first = fin << 7 | reserved << 4 | opcode
    bit = 0x80 if mask is not None else 0
    if says < 126:
        head = struct.pack(">BB", first, bit | says)
    elif says < 1 << 16:
        head = struct.pack(">BBH", first, bit | 126, says)
    else:
        head = struct.pack(">BBQ", first, bit | 127, says)
    if mask is None:
        return head + payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + bytes(a ^ b for a, b in zip(payload, repeated, strict=True))


# What hypothesis makes.


@st.composite
def spoiled(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    """Something sound, with a few bytes replaced, taken out or put in."""
    found = bytearray(draw(sound))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(found)))
        found[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(found)


def _packs(value: Any) -> bool:
    """Is every number one that msgpack knows?"""
    if isinstance(value, dict):
        return all(_packs(item) for item in value.values())
    if isinstance(value, list):
        return all(_packs(item) for item in value)
    return not isinstance(value, int) or -(2**63) <= value < 2**64


_names = st.lists(st.sampled_from(["*", "BTC/USD", "X:" + "Y" * 40, "X:" + "Y" * 41, "\0", "é"]))
_sensible = st.fixed_dictionaries(
    {"action": st.sampled_from(["subscribe", "subscribe", "unsubscribe", "auth"])},
    optional={
        **dict.fromkeys(["trades", "bars", "runningBars15Min", "quotes", "symbols"], _names),
        **dict.fromkeys(["key", "secret"], st.sampled_from(["", "oauth", "x" * 1_000])),
        "snapshot": st.booleans(),
        "mode": st.sampled_from(["all", "latest"]),
        "interval_ms": st.sampled_from([0, 100, 5_000]),
        "cursor": st.booleans(),
        "resume": st.none() | st.text(max_size=20),
    },
)
_objects = _sensible | _sensible | messages
_json = _objects.map(msgspec.json.encode)
_msgpack = _objects.filter(_packs).map(msgspec.msgpack.encode)
_closes = st.builds(
    lambda code, reason: struct.pack(">H", code) + reason,
    st.sampled_from((0, 999, 1000, 1004, 1005, 1006, 1015, 1016, 2999, 3000, 4999, 65_535)),
    st.sampled_from((b"", b"bye", b"\xff", b"x" * 123, b"x" * 124)),
)
_payloads = st.one_of(
    spoiled(_json),
    spoiled(_msgpack),
    _closes,
    st.binary(max_size=20),
    st.sampled_from([0, 125, 126, 65_535, 65_536]).map(lambda size: b"x" * size),
)
_opcodes = st.sampled_from([TEXT, TEXT, BINARY, CONT, CONT, PING, PONG, CLOSE]) | st.integers(0, 15)
_frames = st.builds(
    frame_bytes,
    _payloads,
    opcode=_opcodes,
    fin=st.sampled_from([True, True, False]),
    reserved=st.sampled_from([0] * 8 + [1, 2, 4, 7]),
    mask=st.sampled_from([b"\1\2\3\4", b"\0\0\0\0", b"\xff\xfe\xfd\xfc"] * 3 + [None]),
)
_liars = st.builds(
    frame_bytes,
    st.binary(max_size=20),
    opcode=_opcodes,
    fin=st.booleans(),
    length=st.sampled_from(_GIANT),
)


@st.composite
def _fragmented(draw: st.DrawFn) -> bytes:
    """A sound message in pieces, with control frames between them."""
    message, opcode = draw(st.tuples(_json, st.just(TEXT)) | st.tuples(_msgpack, st.just(BINARY)))
    cuts = sorted(draw(st.lists(st.integers(0, len(message)), max_size=4)))
    parts = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    between = draw(st.sampled_from([b"", frame_bytes(b"?", opcode=PING)]))
    return between.join(
        frame_bytes(part, opcode=CONT if index else opcode, fin=index == len(cuts))
        for index, part in enumerate(parts)
    )


_sound = st.one_of(
    _fragmented(),
    st.builds(frame_bytes, spoiled(_json)),
    st.builds(frame_bytes, spoiled(_msgpack), opcode=st.just(BINARY)),
    st.builds(frame_bytes, st.binary(max_size=125), opcode=st.sampled_from([PING, PONG])),
)
streams = st.builds(
    lambda first, then: Sent(b"".join(first + then)),
    st.lists(_sound, max_size=6),  # as one violation is the end
    st.lists(_frames | _liars | st.binary(max_size=30), max_size=3),
)
"""What may come after a handshake."""

_fields = st.lists(
    st.sampled_from(
        [
            *(
                b"Host: x",
                b"Host: y",
                b"Connection: Upgrade",
                b"Connection: close",
                b"Upgrade: h2c",
            ),
            *(b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"),
            *(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", b"Sec-WebSocket-Key: ?"),
            *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999"),
            *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b" folded", b": nameless"),
            *(b"Authorization: Basic !", b"Authorization: Bearer \xff", b"Content-Type: \0", b"x"),
            *(
                b"Origin: http://a",
                b'Sec-WebSocket-Extensions: permessage-deflate; a="',
                b"\xff: 1",
            ),
            *(b"Sec-WebSocket-Protocol: ,,", b"Long: " + b"x" * 8_190, b"Long: " + b"x" * 20_000),
            *(b"Cookie: " + b"a=b;" * 500, b"APCA-API-KEY-ID: \xc3\x28"),
        ]
    ),
    max_size=12,
)
_floods = st.sampled_from([0, 0, 0, 0, 90, 128, 130, 1_000, 5_000]).map(
    lambda count: [b"X%d: y" % index for index in range(count)]
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    method = draw(st.sampled_from([b"GET"] * 6 + [b"PUT", b"POST", b"", b"G\0T", b"\xff"]))
    target = draw(
        st.sampled_from(
            [
                *([b"/v1/stream"] * 6),
                *(b"/livez", b"/v1/stream?encoding=xml", b"/v1/stream?encoding=msgpack", b"*", b""),
                *(b"http://x/v1/stream", b"/%00", b"/../v1/stream", b"/v1/stream#f", b"//"),
                *(b"/\xff", b"/v1/stream?" + b"a" * 20_000, b"/" + b"a" * 70_000),
            ]
        )
    )
    version = draw(st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/9.9", b"HTTP", b""]))
    end = draw(st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r"]))
    fields = draw(_floods) + draw(_fields)
    return end.join([b" ".join((method, target, version)), *fields, b"", b""])


handshakes = st.one_of(
    st.lists(_requests(), min_size=1, max_size=3).map(b"".join),
    st.tuples(_requests(), st.binary(max_size=40)).map(b"".join),
    st.tuples(spoiled(st.builds(upgrade_request)), streams).map(b"".join),
    st.binary(max_size=60).map(lambda junk: junk + b"\r\n\r\n"),
    spoiled(_requests()),
).map(Sent)
"""What may come instead of a handshake."""


# What comes back.


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A blocking socket with a time-out."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)) as sock:
        yield sock


def answers_to(
    pieces: Sequence[bytes],
    port: int,
    *,
    between: Callable[[], object] = bool,
    patience_s: float = 0.0,
) -> bytes:
    """Send all that, half-close, and read until the gateway has closed, too.

    It may close before it has read everything; what it said before that still arrives. Plain
    HTTP is not answered to who has closed already: *patience_s* is how long to wait with that.
    """
    found = bytearray()
    with connected(port) as sock:
        with suppress(OSError):  # it may be gone already
            for piece in pieces:
                sock.sendall(piece)
                between()
            select.select([sock], [], [], patience_s)
            sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while piece := sock.recv(1 << 16):
                found += piece
    return bytes(found)


def check_http(received: bytes) -> None:
    """Whole answers of HTTP, each of a status that is documented; then frames after a 101."""
    rest = received
    while rest:
        head, end, rest = rest.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/\d\.\d (\d{3}) ", head)
        assert end, received[:300]
        assert status, received[:300]
        assert int(status[1]) in STATUSES, head
        if status[1] == b"101":
            check_frames(rest)
            return
        size = re.search(rb"(?i)content-length: (\d+)", head)
        assert size, head
        body, rest = rest[: int(size[1])], rest[int(size[1]) :]
        assert len(body) == int(size[1])
        assert isinstance(msgspec.json.decode(body), dict), head


def check_frames(received: bytes) -> None:
    """Whole frames; messages, errors and a close as documented."""
    said: list[dict[str, Any]] = []
    frames = list(_parsed(received))
    for opcode, payload in frames:
        if opcode in (TEXT, BINARY):
            said += (msgspec.msgpack if opcode == BINARY else msgspec.json).decode(payload)
        assert opcode in (TEXT, BINARY, PING, PONG, CLOSE)
    assert [opcode for opcode, _ in frames[:-1] if opcode == CLOSE] == []
    assert {message["T"] for message in said} <= _T
    errors = [message["code"] for message in said if message["T"] == "error"]
    assert ERRORS.issuperset(errors), said
    if frames and frames[-1][0] == CLOSE:
        _check_close(frames[-1][1], said)


def _check_close(payload: bytes, said: Sequence[dict[str, Any]]) -> None:
    """After an error the gateway's own close; else the echo of the client's."""
    code = struct.unpack(">H", payload[:2])[0] if payload else 1000
    if said[-1]["T"] == "error" and code in CLOSES:
        return
    assert code == 1000 or 3000 <= code < 5000, (payload, said)


def _parsed(received: bytes) -> Iterator[tuple[int, bytes]]:
    while received:
        first, size = received[:2]
        assert first & 0xF0 == 0x80, received[:20]  # whole messages, nothing reserved
        at = 2
        if size == 126:
            (size,), at = struct.unpack(">H", received[2:4]), 4
        elif size == 127:
            (size,), at = struct.unpack(">Q", received[2:10]), 10
        assert size < 1 << 32  # unmasked, and no nonsense
        assert len(received) >= at + size, received[:20]
        yield first & 0x0F, received[at : at + size]
        received = received[at + size :]
