"""Answers to upgrade requests that are refused, as bytes ready for the socket. Pure.

They cost a fraction of a session: nothing is made but the answer.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

import msgspec

from gateway import messages
from gateway.channels import Codec
from gateway.encode import control
from gateway.frames import frame
from gateway.http.safe_headers import safe_headers
from gateway.sniff import Upgrade

POLICY_VIOLATION: Final = 1008  # close code
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CLOSE: Final = 0x88  # first byte of a close frame
_MAX_REASON: Final = 100  # bytes; a control frame holds 125


def refusal_headers(*, secure: bool) -> Mapping[str, str]:
    """Those of every refusal; *secure*: it goes by TLS."""
    return {"Cache-Control": "no-store", **safe_headers(secure=secure)}


def http_refusal(
    status: str, message: str, *, secure: bool, headers: Mapping[str, str] | None = None
) -> bytes:
    """An HTTP error in the form of the API; *status* is as in ``429 Too Many Requests``."""
    body = msgspec.json.encode({"code": int(status[:3]), "message": message})
    fields = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        **refusal_headers(secure=secure),
        **(headers or {}),
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join((*lines, "", "")).encode() + body


def farewell(code: int, reason: str, codec: Codec) -> bytes:
    """What a session says that ends as soon as it begins: connected, the error, the close."""
    welcome = {"T": "success", "msg": "connected"}
    error = {"T": "error", "code": code, "msg": reason}
    closing = struct.pack(">H", POLICY_VIOLATION) + reason.encode()[:_MAX_REASON]
    return b"".join(
        (
            *(frame(control(message, codec), codec) for message in (welcome, error)),
            bytes((_CLOSE, len(closing))),
            closing,
        )
    )


class ConnectionLimit:
    """Refuses a WebSocket as the published protocol wants it: 101, `connected`, 406, 1008."""

    def __init__(self, limit: int) -> None:
        reason = f"connection limit exceeded: {limit} per address"
        self._farewells = {
            codec: farewell(messages.CONNECTION_LIMIT, reason, codec) for codec in Codec
        }

    def answer(self, upgrade: Upgrade) -> bytes | None:
        """The whole answer; None for a handshake that is to be looked at more closely."""
        accept, codec = _accept_key(upgrade), _codec(upgrade)
        if accept is None or codec is None:
            return None
        return b"".join(
            (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: ",
                accept,
                b"\r\n\r\n",
                self._farewells[codec],
            )
        )


def _accept_key(upgrade: Upgrade) -> bytes | None:
    """The proof that the request was read; None for anything but a plain, correct handshake."""
    fields = upgrade.fields
    connection = [word.strip() for word in fields.get("connection", "").lower().split(",")]
    plain = (
        (upgrade.method, upgrade.version) == ("GET", "HTTP/1.1")
        and fields.get("upgrade", "").lower() == "websocket"
        and "upgrade" in connection
        and fields.get("sec-websocket-version") == "13"
    )
    key = fields.get("sec-websocket-key", "").encode("latin-1")
    try:
        valid = plain and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return None
    if not valid:
        return None
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _codec(upgrade: Upgrade) -> Codec | None:
    """By ``?encoding=``, else by the header Content-Type; None for an unknown encoding."""
    _, asks, query = upgrade.target.partition("?")
    encoding = parse_qs(query).get("encoding", [""])[-1] if asks else ""
    if encoding:
        return {"json": Codec.JSON, "msgpack": Codec.MSGPACK}.get(encoding)
    types = upgrade.fields.get("content-type", "").split(", ")
    return Codec.MSGPACK if "application/msgpack" in types else Codec.JSON
