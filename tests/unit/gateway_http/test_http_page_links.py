"""Links of the page to its files."""

from gateway.http.page_links import linked, split_version, version_of

FILES = {
    "index.html": b'<script src="/static/a.js" type="module"></script>',
    "a.js": b'import { b } from "./client/b.js";\nimport {\n  c,\n} from "./c.js";\n',
    "client/b.js": b'import { c } from "../c.js";\nexport { d } from "./d.js";\n',
    "client/d.js": b'import { a } from "../a.js";  // a circle\n',
    "c.js": b'// from "./e.js": no such file; from "http://host/f.js"\n',
    "g.js": b"/** @typedef {import('./a.js').A} A */\n",
}


def test_a_page_links_to_every_module_that_it_will_import_once_and_nearest_first() -> None:
    html = linked(FILES["index.html"], "v-1", FILES).decode()

    assert html.split("\n  ") == [
        '<link rel="modulepreload" href="/static/v-1/client/b.js">',
        '<link rel="modulepreload" href="/static/v-1/c.js">',
        '<link rel="modulepreload" href="/static/v-1/client/d.js">',
        '<script src="/static/v-1/a.js" type="module"></script>',
    ]


def test_a_page_without_modules_has_its_other_links_by_version() -> None:
    html = b'<img src="/static/icon.svg"> <a href="/docs">/static/</a>'

    assert (
        linked(html, "v-1", {}) == b'<img src="/static/v-1/icon.svg"> <a href="/docs">/static/</a>'
    )


def test_other_files_are_another_version() -> None:
    versions = [
        version_of(files)
        for files in (
            FILES,
            dict(reversed(FILES.items())),
            FILES | {"c.js": b""},
            {"a": b"bc"},
            {"ab": b"c"},
        )
    ]

    assert versions[0] == versions[1]
    assert len(set(versions)) == 4
    assert all(split_version(f"{each}/x/y.js") == (each, "x/y.js") for each in versions)


def test_what_is_no_version_is_a_part_of_the_path() -> None:
    for path in ("app.js", "v-1/app.js", "client/app.js", "v-0123456789ABCDEF/app.js", ""):
        assert split_version(path) == ("", path)
