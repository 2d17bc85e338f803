"""A batch that goes out early: nothing that is pending may lie before its cursor."""

import pytest

from gateway.messages import Options
from tests.unit.gateway.listeners import INTERVAL_MS, Desk, Listener

WITH_CURSOR = Options(cursor=True)


def before_cursors(client: Listener) -> list[list[int]]:
    """The ids received before each cursor, sorted; a cursor is the newest id published."""
    found, got = [], list[int]()
    for message in client.messages:
        if message["T"] == "cursor":
            assert got == [] or max(got) <= int(message["c"])
            found.append(sorted(got))
        else:
            got.append(message["i"])
    return found


@pytest.mark.parametrize("names", [("X:A", "X:B"), ("*",)])
def test_who_joins_within_a_window_and_is_served_early_gets_all_of_it(names: tuple[str]) -> None:
    desk, client, other = Desk("X:A", "X:B"), Listener(), Listener()
    desk.subscribe(other, "X:A")
    desk.lead()
    desk.trade("X:A")  # 1
    desk.lead()
    desk.subscribe(client, *names, options=WITH_CURSOR)
    desk.trade("X:A")  # 2: the symbol is not new in this window
    desk.lead()
    desk.trade("X:B")  # 3
    desk.lead()

    assert before_cursors(client)[-1] == [2, 3]


@pytest.mark.parametrize("names", [("X:A", "X:B"), ("*",)])
def test_who_was_served_early_in_the_last_window_gets_all_of_this_one(names: tuple[str]) -> None:
    desk, client = Desk("X:A", "X:B"), Listener()
    desk.subscribe(client, *names, options=WITH_CURSOR)
    desk.now_ns += 50_000_000
    desk.trade("X:A")  # 1, early, in the middle of the window
    desk.lead()
    desk.flush(after_ms=INTERVAL_MS // 2)
    desk.now_ns += 30_000_000
    desk.trade("X:A")  # 2, has to wait: the last batch was 80 ms ago
    desk.lead()
    desk.now_ns += 30_000_000
    desk.trade("X:B")  # 3, early
    desk.lead()

    assert before_cursors(client) == [[1], [1, 2, 3]]


def test_who_asks_once_more_for_what_it_has_gets_what_is_pending_before_a_cursor() -> None:
    desk, client = Desk("X:A"), Listener()
    desk.subscribe(client, "X:A", options=WITH_CURSOR)
    desk.trade("X:A")  # 1
    desk.lead()
    desk.trade("X:A")  # 2 is pending

    desk.subscribe(client, "X:A", options=WITH_CURSOR)

    assert before_cursors(client)[-1] == [1, 2]
