"""The pages for people: what they tell to do can be done."""

import re
from itertools import chain
from pathlib import Path

import pytest

from tests.delivery.dockerfiles import ROOT

PAGES = sorted(
    chain(
        ROOT.glob("*.md"),
        ROOT.glob("docs/*.md"),
        ROOT.glob("examples/*.ipynb"),
        ROOT.glob("packaging/*/*.md"),
    )
)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_nobody_is_told_to_fetch_us_from_an_index_where_we_are_not(page: Path) -> None:
    assert re.findall(r"pip install '?tickgate\b", page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_table_is_not_cut_by_a_blank_line(page: Path) -> None:
    """A row behind a blank line needs a rule below it, else it is no table but text."""
    heads = re.findall(r"(?<=\n\n)(\|.*\n)(?!\|[-|: ]+\|\n)", page.read_text())

    assert heads == []


def test_all_files_of_the_javascript_client_are_told() -> None:
    page = (ROOT / "docs" / "client.md").read_text()
    told = re.search(r"/static/client/\{([a-z,]+)\}\.js", page)
    assert told is not None

    files = {path.stem for path in (ROOT / "gateway/page/client").glob("*.js")}
    assert set(told[1].split(",")) == files
