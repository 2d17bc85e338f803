"""Links of the page to its files: by version, and to all modules at once. Pure.

A module is found only when the one that imports it has come, so a page of forty modules would
take as many round trips as its longest chain of imports. Links in the page tell of them all.
"""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import Final

_FOLDER: Final = "/static/"
_VERSION: Final = re.compile(r"v-[0-9a-f]{16}")
_MODULE: Final = re.compile(r'<script src="/static/([^"]+)" type="module">')
_IMPORT: Final = re.compile(r'\bfrom "(\.{1,2}/[^"]+)"')


def version_of(files: Mapping[str, bytes]) -> str:
    """The name of a folder that stands for just these *files*, by path: other ones, another."""
    digest = hashlib.blake2b(digest_size=8)
    for path, body in sorted(files.items()):
        digest.update(f"{path}\0{len(body)}\0".encode() + body)
    return f"v-{digest.hexdigest()}"


def split_version(path: str) -> tuple[str, str]:
    """The version that *path* begins with, or an empty text, and the rest."""
    folder, _, rest = path.partition("/")
    return (folder, rest) if _VERSION.fullmatch(folder) else ("", path)


def linked(html: bytes, version: str, files: Mapping[str, bytes]) -> bytes:
    """*html* with links to *files* of *version*, and one to each module that it will import."""
    text = html.decode()
    found = _MODULE.search(text)
    if found is not None:
        links = [
            f'<link rel="modulepreload" href="{_FOLDER}{path}">'
            for path in _imported(found[1], files)
        ]
        text = text.replace(found[0], "\n  ".join([*links, found[0]]))
    return text.replace(f'"{_FOLDER}', f'"{_FOLDER}{version}/').encode()


def _imported(module: str, files: Mapping[str, bytes]) -> list[str]:
    """Paths of all modules that *module* imports, and those import, nearest first."""
    found: dict[str, None] = {module: None}
    waiting = [module]
    while waiting:
        path = waiting.pop(0)
        for name in _IMPORT.findall(files.get(path, b"").decode()):
            imported = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if imported in files and imported not in found:
                found[imported] = None
                waiting.append(imported)
    del found[module]
    return list(found)
