"""The OpenAPI 3.1 document of the HTTP API, out of the declarations of its operations. Pure.

An operation is declared once; its answers have the shapes of the types that handlers encode.
Source: OpenAPI Specification 3.1.1.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Literal

import msgspec

from gateway.http.errors import ErrorAnswer
from gateway.http.openapi_schemas import spelled_out

JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{name}"
COMMON_ERRORS: Final = (400, 401, 403, 429, 500, 503, 504)
"""What any endpoint that asks for a key may answer."""

Schema = Mapping[str, Any]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a query or a path, with what is accepted."""

    name: str
    text: str
    schema: Schema
    required: bool = False
    where: Literal["query", "path"] = "query"
    example: str | int | None = None

    def built(self) -> dict[str, Any]:
        """The parameter object."""
        parameter = {
            "name": self.name,
            "in": self.where,
            "description": self.text,
            "required": self.required,
            "schema": dict(self.schema),
        }
        return parameter if self.example is None else parameter | {"example": self.example}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What ``GET`` of a path takes and answers.

    ``answer`` is the type that is encoded as JSON, or a schema of it; ``content`` are answers of
    other media types, ``headers`` those of a success with what they say; ``also`` are other
    statuses with what is encoded then; ``errors`` those that come with an error of type ``error``.
    ``tagged``: it has an ETag; ``open``: it asks for no key.
    """

    path: str
    tag: str
    summary: str
    text: str = ""
    parameters: tuple[Parameter, ...] = ()
    answer: Any = None
    example: Any = None
    content: Mapping[str, Schema] = msgspec.field(default_factory=dict)
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    also: Mapping[int, type] = msgspec.field(default_factory=dict)
    errors: tuple[int, ...] = COMMON_ERRORS
    error: type = ErrorAnswer
    tagged: bool = True
    open: bool = False


class Tag(msgspec.Struct, frozen=True):
    """A group of operations."""

    name: str
    description: str


def document(operations: Sequence[Operation], tags: Sequence[Tag], *, version: str) -> bytes:
    """The whole document as JSON."""
    types = _types(operations)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    refs = dict(zip(types, schemas, strict=True))
    paths = {one.path: {"get": _operation(one, refs)} for one in operations}
    return msgspec.json.encode(
        {
            "openapi": "3.1.1",
            "info": {
                "title": "tickgate",
                "version": version,
                "summary": "Market data: bars, trades, snapshots and state over HTTP",
                "description": _ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": tag.name, "description": tag.description} for tag in tags],
            "paths": spelled_out(paths),
            "components": {
                "schemas": spelled_out(_plain(components)),
                "securitySchemes": _SECURITY,
            },
        }
    )


def _types(operations: Iterable[Operation]) -> list[Any]:
    found: dict[Any, None] = {}
    for one in operations:
        found |= dict.fromkeys((one.error, *one.also.values()))
        if one.answer is not None and not isinstance(one.answer, Mapping):
            found[one.answer] = None
    return list(found)


def _operation(one: Operation, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    built: dict[str, Any] = {
        "operationId": one.path.strip("/").translate(_ID) or "page",
        "tags": [one.tag],
        "summary": one.summary,
        "description": one.text,
        "parameters": [parameter.built() for parameter in one.parameters],
        "responses": _responses(one, refs),
    }
    built["security"] = [{}] if one.open else _ANY_KEY
    return built


def _responses(one: Operation, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    content = _content(one, refs)
    if content:
        responses["200"] = {"description": one.summary, "content": content}
        if one.headers:
            responses["200"]["headers"] = {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in one.headers.items()
            }
    if one.tagged:
        responses["304"] = {"description": "The answer is the one whose `ETag` was sent"}
    bodies = dict.fromkeys(one.errors, one.error) | dict(one.also)
    for status in sorted(bodies):
        content = {JSON: {"schema": refs[bodies[status]]}}
        responses[str(status)] = {"description": _REASONS[status], "content": content}
    return responses


def _content(one: Operation, refs: Mapping[Any, Schema]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {"schema": schema} for kind, schema in one.content.items()}
    if one.answer is not None:
        schema = one.answer if isinstance(one.answer, Mapping) else refs[one.answer]
        body: dict[str, Any] = {"schema": schema}
        if one.example is not None:
            body["example"] = one.example
        content = {JSON: body} | content
    return content


def _plain(schemas: Any) -> Any:
    """Descriptions come from docstrings, whose literals are between two backticks."""
    text = msgspec.json.encode(schemas).replace(b"``", b"`")
    return msgspec.json.decode(text)


_ID: Final = str.maketrans("/.-", "___", "{}")
_REASONS: Final = {
    400: "A parameter is missing, unknown, given twice or not accepted; the message says which",
    401: "No key, an unknown one, or a wrong secret",
    403: "A symbol that this key may not read",
    404: "There is no such thing; the message names it",
    406: "None of the accepted media types is offered",
    426: f"{HTTPStatus(426).phrase}: this path is a WebSocket endpoint",
    429: "Too many requests in this minute; `Retry-After` says when to come back",
    500: "A bug; the server's log has the cause",
    503: "The database, Redis or what keys are checked by is away; `Retry-After` says how long",
    504: "No answer within the time allowed; ask for less",
}
_SECURITY: Final = {
    "keyId": {
        "type": "apiKey",
        "in": "header",
        "name": "APCA-API-KEY-ID",
        "description": "The id of an API key; goes with the secret",
    },
    "keySecret": {
        "type": "apiKey",
        "in": "header",
        "name": "APCA-API-SECRET-KEY",
        "description": "The secret of an API key",
    },
    "basic": {"type": "http", "scheme": "basic", "description": "Key id and secret"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "`KEYID:SECRET`, or a token"},
}
_ANY_KEY: Final[list[dict[str, list[str]]]] = [
    {},
    {"keyId": [], "keySecret": []},
    {"basic": []},
    {"bearer": []},
]
_ABOUT: Final = """\
Closed and running bars, trades and snapshots of any number of symbols, the data feed of charts,
and the state of the system. Every path takes `GET` and `HEAD`. Keys are asked for only where the
server has some. Prices and sizes are float64, times RFC 3339 in UTC. The stream at `/v1/stream`
is described in `docs/wire-protocol.md`, this API in words in `docs/http-api.md`."""
