"""Which pages one branch of a statement reads, and what it is told."""

import pytest

from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from storage.bar_queries import NEAR, NEAR_DESCENDING, PAGES
from storage.packed import integers, texts
from storage.page_statement import StoredPage, page_statement
from storage.rows import to_datetime

WEEK_NS = 7 * DAY_NS  # a chunk of 1-minute bars


def page(
    *symbols: str,
    first_ns: int = 0,
    last_ns: int = 500 * MINUTE_NS,
    timeframe: Timeframe = Timeframe.MIN_1,
    descending: bool = False,
) -> StoredPage:
    names = [Symbol(symbol) for symbol in symbols or ("SIM:A",)]
    return StoredPage(timeframe, names, first_ns, last_ns, 500, descending)


def places(pages: list[StoredPage]) -> list[list[int]]:
    """The places of the pages that each branch reads."""
    statement, parameters = page_statement(pages)
    packed = {integers(some).binary: some for some in _runs(len(pages))}
    found = [packed[p.binary] for p in parameters if getattr(p, "binary", None) in packed]
    assert statement.count("unnest(%b::int[]") == len(found)
    return found


def _runs(n: int) -> list[list[int]]:
    return [list(range(at, to)) for at in range(n) for to in range(at + 1, n + 1)]


def test_pages_of_near_times_are_one_branch_with_the_bounds_of_all() -> None:
    pages = [page(f"SIM:S{n}", first_ns=n * 10**9 + 1, last_ns=(n + 9) * 10**9) for n in range(3)]

    statement, parameters = page_statement(pages)

    assert statement == NEAR[Timeframe.MIN_1]
    assert parameters[0] == integers([0, 1, 2])
    assert parameters[1] == texts(["SIM:S0", "SIM:S1", "SIM:S2"])
    assert parameters[4] == integers([500] * 3)
    assert parameters[5:] == [to_datetime(1_000), to_datetime(11 * 10**9)]


def test_pages_far_from_each_other_are_branches_of_their_own() -> None:
    far = [page(first_ns=n * 5 * WEEK_NS, last_ns=n * 5 * WEEK_NS + MINUTE_NS) for n in range(3)]
    near = [page(first_ns=n * WEEK_NS, last_ns=n * WEEK_NS + MINUTE_NS) for n in range(7)]

    assert places(far) == [[0], [1], [2]]
    assert places(near) == [[0, 1, 2, 3, 4], [5, 6]]  # four chunks from one end to the other


def test_long_pages_are_together_though_they_meet_many_chunks() -> None:
    years = [page(f"SIM:S{n}", last_ns=(300 + n) * DAY_NS) for n in range(3)]

    assert places(years) == [[0, 1, 2]]
    assert places([*years, page(first_ns=400 * DAY_NS, last_ns=401 * DAY_NS)]) == [[0, 1, 2], [3]]


@pytest.mark.parametrize(
    "other", [page(timeframe=Timeframe.MIN_5), page(descending=True)], ids=["timeframe", "order"]
)
def test_pages_of_another_kind_are_another_branch(other: StoredPage) -> None:
    statement, _ = page_statement([page(), other])

    second = (NEAR_DESCENDING if other.descending else NEAR)[other.timeframe]
    assert statement == f"{NEAR[Timeframe.MIN_1]} UNION ALL {second}"


def test_a_page_of_several_symbols_is_a_branch_of_its_own() -> None:
    statement, parameters = page_statement([page(), page("SIM:A", "SIM:B")])

    assert statement == f"{PAGES[Timeframe.MIN_1]} UNION ALL {NEAR[Timeframe.MIN_1]}"
    bounds = [to_datetime(999), to_datetime(500 * MINUTE_NS)]
    assert parameters[:6] == [1, ["SIM:A", "SIM:B"], *bounds, 500, 500]
