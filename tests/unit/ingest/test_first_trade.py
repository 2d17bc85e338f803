import pytest

from ingest.first_trade import FirstTrade


def find(times: dict[int, int], start_ns: int) -> tuple[int, int]:
    """What it finds among trades by id, and how many it asked for."""
    newest = max(times)
    search = FirstTrade(newest_id=newest, newest_ns=times[newest], start_ns=start_ns)
    asked = 0
    while search.found is None:
        search.tell(times.get(search.probe))
        asked += 1
        assert asked < 100
    return search.found, asked


@pytest.mark.parametrize("count", [1, 2, 3, 100, 9_999, 10_000, 10_001, 200_000])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999, 1.0])
def test_the_first_trade_at_or_after_a_time_is_found(count: int, share: float) -> None:
    times = {n: 10 * n for n in range(1, count + 1)}
    wanted = max(1, round(count * share))

    for start_ns in (10 * wanted, 10 * wanted - 5):
        found, asked = find(times, start_ns)
        assert found == wanted
        assert asked <= 40


def test_of_a_time_before_all_trades_the_first_is_found() -> None:
    assert find({n: n for n in range(1, 50_000)}, -5)[0] == 1


def test_of_a_time_after_all_trades_none_is_found() -> None:
    assert find({1: 10, 2: 20}, 21) == (3, 0)
    assert find({1: 10}, 11) == (2, 0)


def test_what_the_venue_does_not_keep_counts_as_older() -> None:
    assert find({n: n for n in range(70_000, 100_000)}, 0)[0] == 70_000
