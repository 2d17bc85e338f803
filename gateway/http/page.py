"""The page and its files, out of the installed packages; read once, served from memory."""

import gzip
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec
from aiohttp import ETag, web

from gateway.http.errors import ApiError, shown
from gateway.http.page_links import linked, split_version, version_of
from gateway.http.validators import listed, takes_gzip

INDEX: Final = "index.html"
DOCS: Final = "docs.html"
CHARTS: Final = "lightweight-charts.js"  # the chart library's name below /static/
_ASK: Final = "no-cache"  # keep it, but ask each time: another version has the same name
_KEEP: Final = "public, max-age=31536000, immutable"
_MIN_GZIP: Final = 1_024  # bytes; smaller ones fit a packet anyway
_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_TEXTS: Final = frozenset({".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt", ".webmanifest"})


class PageFile(msgspec.Struct, frozen=True):
    """One file, ready to be sent; ``packed`` is its gzip form where that is worth it."""

    body: bytes
    packed: bytes | None
    content_type: str
    charset: str | None
    etag: str


class Page:
    """The files of the page by their path below ``/static/``.

    The page itself names them by version (``/static/v-…/app.js``), so that a browser need not ask
    for them again. A file is there by its plain name, too, and by that of any version: where
    gateways of two versions share the load, a page may ask the other one.
    """

    def __init__(self, folder: Traversable, charts: Traversable) -> None:
        """Read all files of *folder* with a known type, and the chart library."""
        bodies = {
            path: file.read_bytes()
            for path, file in [*_walk(folder, ""), (CHARTS, charts)]
            if _suffix(path) in _TYPES
        }
        self._version = version_of(bodies)
        self._files = {
            path: page_file(
                linked(body, self._version, bodies) if _suffix(path) == ".html" else body, path
            )
            for path, body in bodies.items()
        }

    @classmethod
    def installed(cls) -> "Page":
        """The page of this package, and the chart library of the package ``litecharts``."""
        charts = files("litecharts").joinpath("js", "lightweight-charts.js")
        return cls(files("gateway").joinpath("page"), charts)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/docs", self.docs),
            web.get("/static/{path:.+}", self.file),
            web.get("/favicon.ico", self.icon),
        ]

    async def index(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, INDEX)

    async def docs(self, request: web.Request) -> web.StreamResponse:
        """The page that shows ``/openapi.json``."""
        return self._answer(request, DOCS)

    async def icon(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, "favicon.ico" if "favicon.ico" in self._files else "icon.svg")

    async def file(self, request: web.Request) -> web.StreamResponse:
        version, path = split_version(request.match_info["path"])
        return self._answer(request, path, _KEEP if version == self._version else _ASK)

    def _answer(self, request: web.Request, path: str, control: str = _ASK) -> web.StreamResponse:
        found = self._files.get(path)
        if found is None:
            raise ApiError(404, f"the page has no file {shown(path)}")
        headers = {"Cache-Control": control, "Vary": "Accept-Encoding"}
        tag = ETag(found.etag, is_weak=True)  # weak: the packed form has the same
        if any(known.value in {found.etag, "*"} for known in request.if_none_match or ()):
            response = web.Response(status=304, headers=headers)
        else:
            body = found.body
            if found.packed is not None and takes_gzip(listed(request.headers, "Accept-Encoding")):
                body, headers["Content-Encoding"] = found.packed, "gzip"
            response = web.Response(
                body=body, content_type=found.content_type, charset=found.charset, headers=headers
            )
        response.etag = tag
        return response


def page_file(body: bytes, path: str) -> PageFile:
    """A file of the page with what its answers need."""
    suffix = _suffix(path)
    is_text = suffix in _TEXTS
    packed = gzip.compress(body, mtime=0) if is_text and len(body) >= _MIN_GZIP else None
    etag = hashlib.blake2b(body, digest_size=12).hexdigest()
    return PageFile(body, packed, _TYPES[suffix], "utf-8" if is_text else None, etag)


def _suffix(path: str) -> str:
    return path[path.rfind(".") :] if "." in path else ""


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry
