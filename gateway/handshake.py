"""What a stream's handshake request asks for, and how a refused one is answered."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import MultipleValuesError
from websockets.exceptions import InvalidMessage, NegotiationError
from websockets.extensions import Extension, ServerExtensionFactory
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import ExtensionParameter, StatusLike

from gateway.access.credentials import Shown, shown_in, shown_in_query
from gateway.channels import Codec
from gateway.encode import control
from gateway.frames import WINDOW_BITS
from gateway.refusals import refusal_headers


class Handshake(ServerProtocol):
    """Refuses in the HTTP API's form of error, also what is no valid request at all."""

    def __init__(self, *, secure: bool, **options: Any) -> None:
        """*secure*: it goes by TLS."""
        super().__init__(**options)
        self._by_tls = secure

    def reject(self, status: StatusLike, text: str) -> Response:
        response = _as_json(super().reject(status, text))
        response.headers.update(refusal_headers(secure=self._by_tls))
        return response

    def send_eof(self) -> None:
        """The end of what is sent; the core would say nothing else to an invalid request."""
        if isinstance(self.handshake_exc, InvalidMessage) and not self.writes:
            self.send_response(self.reject(400, "the request is not HTTP that this server reads"))
        else:
            super().send_eof()


class _Deflate(ServerPerMessageDeflateFactory):
    """Declines a window that is smaller than the one of the messages, which are made for all."""

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        found = super().process_request_params(params, accepted_extensions)
        if found[1].local_max_window_bits < WINDOW_BITS:
            raise NegotiationError(f"messages need a window of {WINDOW_BITS} bits")
        return found


def compressions() -> Sequence[ServerExtensionFactory]:
    """permessage-deflate as it can be shared by clients: no context from message to message.

    Of what a client did not offer as little as can be is asked: some end the connection over it.
    So what it sends may have a context where it lets the window be bounded, else not.

    Source: RFC 7692, section 7.1.
    """
    small = _Deflate(
        server_no_context_takeover=True,
        client_max_window_bits=WINDOW_BITS,
        require_client_max_window_bits=True,
    )
    none = _Deflate(server_no_context_takeover=True, client_no_context_takeover=True)
    return small, none


def requested_codec(request: Request) -> Codec | None:
    """By ``?encoding=``, else by the header Content-Type; None for an unknown encoding."""
    encoding = parse_qs(urlsplit(request.path).query).get("encoding", [""])[-1]
    if encoding:
        return {"json": Codec.JSON, "msgpack": Codec.MSGPACK}.get(encoding)
    types = request.headers.get_all("Content-Type")
    return Codec.MSGPACK if "application/msgpack" in types else Codec.JSON


def shown_credentials(request: Request) -> Shown | None:
    """What the headers of the request show, or else its query, where it can be read."""
    try:
        return shown_in(request.headers) or shown_in_query(request.path)
    except MultipleValuesError:
        return None


def _as_json(response: Response) -> Response:
    text = (response.body or b"").decode().strip()
    body = control({"code": response.status_code, "message": text}, Codec.JSON)[1:-1]
    response.body = body
    for name in ("Content-Type", "Content-Length"):
        del response.headers[name]
    response.headers["Content-Type"] = "application/json"
    response.headers["Content-Length"] = str(len(body))
    return response
