"""The part of docs/benchmarks.md that `make bench-fanout` writes: section by section. Pure."""

from collections.abc import Mapping, Sequence

from tests.bench.section import Section

BEGIN = "<!-- written by make bench-fanout: begin -->"
END = "<!-- written by make bench-fanout: end -->"
_HEADING = "### "


def render(section: Section, measured: str) -> str:
    """One section; *measured* says when, where and by which command."""
    return f"{_HEADING}{section.title}\n\n{measured}\n\n{section.text.strip()}"


def merged(old: str, new: Mapping[str, str], order: Sequence[str] = ()) -> str:
    """*old*, the text between the marks, with sections of the same titles replaced by *new*.

    A run of some sections leaves the others as they were. New ones go to the end.
    """
    found = split(old) | dict(new)
    first = [title for title in order if title in found]
    titles = [*first, *(title for title in found if title not in first)]
    return "\n\n".join(found[title] for title in titles)


def split(text: str) -> dict[str, str]:
    """Sections by title; what stands before the first heading is none of them."""
    found: dict[str, str] = {}
    for part in ("\n" + text).split(f"\n{_HEADING}")[1:]:
        title = part.partition("\n")[0].strip()
        found[title] = f"{_HEADING}{part.strip()}"
    return found


def between_marks(page: str) -> str:
    """What stands between the marks.

    Raises:
        ValueError: the page has not both marks, in order.
    """
    _, begin, rest = page.partition(BEGIN)
    text, end, _ = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    return text
