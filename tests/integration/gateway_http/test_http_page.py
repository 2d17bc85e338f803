"""The page and its files."""

import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest

from gateway.http.page import Page
from tests.integration.gateway_http.rig import Rig, running

SCRIPT = "export const answer = 42;\n" * 100
HTML = """<!doctype html><title>é</title>
  <link rel="icon" href="/static/icon.svg">
  <script src="/static/start.js" type="module"></script>
  <a href="/docs">Docs</a>"""


@pytest.fixture
async def site(
    tmp_path: Path, embedded_migrated_url: str, redis_url: str, namespace: str
) -> AsyncIterator[Rig]:
    """A gateway with a small page of the test's own."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "index.html").write_text(HTML)
    (tmp_path / "start.js").write_text('import {\n  answer,\n} from "./parts/app.js";\n')
    (tmp_path / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "parts" / "app.js").write_text(SCRIPT)
    (tmp_path / "notes.md").write_text("not served")
    page = Page(tmp_path, files("litecharts").joinpath("js", "lightweight-charts.js"))
    async with running(
        database_url=embedded_migrated_url, redis_url=redis_url, namespace=namespace, page=page
    ) as rig:
        yield rig


async def test_each_file_has_its_type_and_safe_headers(site: Rig) -> None:
    types = {
        "/": "text/html; charset=utf-8",
        "/static/index.html": "text/html; charset=utf-8",
        "/static/parts/app.js": "text/javascript; charset=utf-8",
        "/static/icon.svg": "image/svg+xml; charset=utf-8",
        "/favicon.ico": "image/svg+xml; charset=utf-8",
        "/static/lightweight-charts.js": "text/javascript; charset=utf-8",
    }
    for path, content_type in types.items():
        async with site.session.get(site.base + path) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == content_type
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "script-src 'self';" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["Server"] == "tickgate"


async def test_the_page_names_all_its_files_by_version_and_these_are_kept_for_long(
    site: Rig,
) -> None:
    async with site.session.get(site.base + "/") as response:
        html = await response.text()
    names = re.findall(r'"(/static/v-[0-9a-f]{16}/[^"]+)"', html)

    assert [name.rpartition("/")[2] for name in names] == ["icon.svg", "app.js", "start.js"]
    assert html.index('rel="modulepreload"') < html.index("<script")
    assert '"/static/icon' not in html
    for name in names:
        for url, control in (
            (name, "public, max-age=31536000, immutable"),
            (re.sub("v-[0-9a-f]{16}", "v-0123456789abcdef", name), "no-cache"),
        ):
            async with site.session.get(site.base + url) as response:
                assert (response.status, response.headers["Cache-Control"]) == (200, control)


async def test_the_chart_library_is_the_installed_packages(site: Rig) -> None:
    installed = files("litecharts").joinpath("js", "lightweight-charts.js").read_bytes()

    async with site.session.get(site.base + "/static/lightweight-charts.js") as response:
        assert await response.read() == installed


async def test_a_browser_that_has_a_file_is_told_so(site: Rig) -> None:
    url = site.base + "/static/parts/app.js"
    async with site.session.get(url) as first:
        tag = first.headers["ETag"]
    statuses = []
    for given in (tag, f'"other", {tag}', "*", '"other"'):
        async with site.session.get(url, headers={"If-None-Match": given}) as response:
            statuses.append(response.status)
            assert response.headers["ETag"] == tag

    assert statuses == [304, 304, 304, 200]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_file_is_packed_where_the_browser_can_unpack_it(site: Rig, encoding: str) -> None:
    async with site.session.get(
        site.base + "/static/parts/app.js", headers={"Accept-Encoding": encoding}
    ) as response:
        assert await response.text() == SCRIPT

    assert response.headers.get("Content-Encoding", "identity") == encoding
    assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/static/notes.md",
        "/static/v-0123456789abcdef",
        "/static/v-0123456789abcdef/",
        "/static/v-0123456789abcdef/v-0123456789abcdef/icon.svg",
        "/static/v-x/icon.svg",
        "/static/parts",
        "/static/parts/",
        "/static/../keys.py",
        "/static/%2e%2e/keys.py",
        "/static/..%2fkeys.py",
        "/static//etc/passwd",
        "/static/",
    ],
)
async def test_nothing_else_is_served(site: Rig, path: str) -> None:
    status, answer = await site.get(path)

    assert (status, answer["code"]) == (404, 404)


async def test_the_page_of_the_package_is_served(rig: Rig) -> None:
    async with rig.session.get(rig.base + "/static/lightweight-charts.js") as response:
        assert response.status == 200


async def test_a_page_without_files_is_a_404_and_no_failure(
    tmp_path: Path, embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    page = Page(tmp_path / "none", files("litecharts").joinpath("js", "lightweight-charts.js"))
    async with running(
        database_url=embedded_migrated_url, redis_url=redis_url, namespace=namespace, page=page
    ) as rig:
        status, answer = await rig.get("/")

    assert (status, answer["code"]) == (404, 404)
