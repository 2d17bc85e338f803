"""One statement for many pages of bars. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from storage.bar_queries import NEAR, NEAR_DESCENDING, PAGES, PAGES_DESCENDING
from storage.bar_tables import CHUNK_NS
from storage.packed import integers, texts, times
from storage.rows import to_datetime

_NEAR_CHUNKS: Final = 4  # planning looks at each chunk of a group, and costs what two pages cost


class StoredPage(NamedTuple):
    """Bars as they are stored, by symbol, then time, up to *limit* in all.

    ``first_ns`` and ``last_ns`` bound their times, both inclusive: UNIX nanoseconds, not negative.
    """

    timeframe: Timeframe
    symbols: Sequence[Symbol]
    first_ns: int
    last_ns: int
    limit: int
    descending: bool

    @property
    def rounded_first_ns(self) -> int:
        """The first moment of the range that can be stored: times are stored by microseconds."""
        return self.first_ns + 999


def page_statement(pages: Sequence[StoredPage]) -> tuple[LiteralString, list[Any]]:
    """What reads all *pages*, and its parameters: a row for each page, with its place before it.

    Pages of one symbol each, of times near each other, are read by one branch of a UNION ALL,
    which is planned once; others by a branch of their own.
    """
    branches: list[LiteralString] = []
    parameters: list[Any] = []
    for group in _groups(pages):
        page = pages[group[0]]
        if len(page.symbols) == 1:
            branches.append((NEAR_DESCENDING if page.descending else NEAR)[page.timeframe])
            parameters += _near(group, [pages[place] for place in group])
        else:
            branches.append((PAGES_DESCENDING if page.descending else PAGES)[page.timeframe])
            bounds = to_datetime(page.rounded_first_ns), to_datetime(page.last_ns)
            parameters += [group[0], list(page.symbols), *bounds, page.limit, page.limit]
    return " UNION ALL ".join(branches), parameters


def _near(places: Sequence[int], pages: Sequence[StoredPage]) -> list[Any]:
    firsts, lasts = [page.rounded_first_ns for page in pages], [page.last_ns for page in pages]
    return [
        integers(places),
        texts(page.symbols[0] for page in pages),
        times(firsts),
        times(lasts),
        integers([page.limit for page in pages]),
        to_datetime(min(firsts)),
        to_datetime(max(lasts)),
    ]


def _groups(pages: Sequence[StoredPage]) -> Iterator[list[int]]:
    """The places of pages that one branch reads."""
    kinds: dict[tuple[Timeframe, bool], list[int]] = {}
    for place, page in enumerate(pages):
        if len(page.symbols) == 1:
            kinds.setdefault((page.timeframe, page.descending), []).append(place)
        else:
            yield [place]
    for (timeframe, _), places in kinds.items():
        yield from _neighbours(pages, places, _NEAR_CHUNKS * CHUNK_NS[timeframe])


def _neighbours(
    pages: Sequence[StoredPage], places: Sequence[int], near_ns: int
) -> Iterator[list[int]]:
    """*places* (one or more) by time, cut where a group would span more than *near_ns*.

    A page that spans more than that has neighbours, too: whose span is not much longer with it.
    """
    group: list[int] = []
    first_ns = last_ns = longest_ns = 0
    for place in sorted(places, key=lambda place: pages[place].first_ns):
        page = pages[place]
        own_ns = page.last_ns - page.first_ns
        to_ns, most_ns = max(last_ns, page.last_ns), max(longest_ns, own_ns) + near_ns
        if group and to_ns - first_ns > most_ns:
            yield group
            group = []
        if not group:
            first_ns, last_ns, longest_ns = page.first_ns, 0, 0
        group.append(place)
        last_ns, longest_ns = max(last_ns, page.last_ns), max(longest_ns, own_ns)
    yield group
