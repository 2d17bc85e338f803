import pytest

from tests.bench.page import BEGIN, END, put_between_marks
from tests.bench.processes import slope_per_minute


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n"

    once = put_between_marks(page, "new\n")

    assert once == f"# Title\n\n{BEGIN}\n\nnew\n\n{END}\n\nThe end.\n"
    assert put_between_marks(once, "new") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        put_between_marks(page, "new")


def test_a_slope_is_per_minute_and_not_moved_by_where_it_begins() -> None:
    assert slope_per_minute([10, 20, 30], [300.0, 301.0, 302.0]) == pytest.approx(6.0)
    assert slope_per_minute([0, 1, 2, 3], [5, 7, 5, 7]) == pytest.approx(24.0)
