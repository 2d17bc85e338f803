"""The operations of the page, of the API's description and of the stream's paths. Pure."""

from typing import Final

from gateway.http.openapi import JSON, Operation, Parameter, Tag

TAGS: Final = (Tag("page", "The page, this description, and the stream's address"),)
_HTML: Final = {"text/html": {"type": "string"}}


def _path(name: str, text: str, example: str) -> Parameter:
    schema = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,32}$"}
    return Parameter(
        name=name, text=text, schema=schema, required=True, where="path", example=example
    )


_STREAMS: Final[tuple[tuple[str, str, tuple[Parameter, ...]], ...]] = (
    ("/v1/stream", "The WebSocket stream", ()),
    (
        "/v1beta3/crypto/{loc}",
        "The published SDKs' stream of crypto",
        (_path("loc", "Any word, such as `us`", "us"),),
    ),
    (
        "/v2/{feed}",
        "The published SDKs' stream of stocks",
        (_path("feed", "Any word, such as `iex`", "iex"),),
    ),
)
OPERATIONS: Final = (
    Operation(
        path="/",
        tag="page",
        summary="The page",
        content=_HTML,
        errors=(500,),
        open=True,
    ),
    Operation(
        path="/static/{path}",
        tag="page",
        summary="A file of the page",
        parameters=(
            Parameter(
                name="path",
                text="Its path",
                schema={"type": "string", "pattern": "^[a-z]+[.](js|css|svg)$"},
                required=True,
                where="path",
                example="style.css",
            ),
        ),
        content={
            kind: {"type": "string"}
            for kind in ("text/css", "text/html", "text/javascript", "image/svg+xml", JSON)
        },
        errors=(404, 500),
        open=True,
    ),
    Operation(
        path="/favicon.ico",
        tag="page",
        summary="The page's icon",
        content={"image/svg+xml": {"type": "string"}, "image/x-icon": {}},
        errors=(404, 500),
        open=True,
    ),
    Operation(
        path="/docs",
        tag="page",
        summary="This description as a page",
        content=_HTML,
        errors=(500,),
        open=True,
    ),
    Operation(
        path="/openapi.json",
        tag="page",
        summary="This description",
        answer={"type": "object", "required": ["openapi", "info", "paths"]},
        errors=(500,),
        open=True,
    ),
    *(
        Operation(
            path=path,
            tag="page",
            summary=f"{name}; a plain request is told that it is one",
            text="See `docs/wire-protocol.md`.",
            parameters=parameters,
            errors=(400, 426, 429),
            tagged=False,
            open=True,
        )
        for path, name, parameters in _STREAMS
    ),
)
