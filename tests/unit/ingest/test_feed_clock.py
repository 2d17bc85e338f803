from ingest.feed_clock import ClockKind, FeedClock


def test_time_stands_still_in_a_history_and_runs_on_once_it_is_over() -> None:
    clock = FeedClock(ClockKind.HISTORY)
    clock.advance(1_000, 10)

    assert clock.now_ns(500) == 1_000
    clock.go_live()
    assert clock.kind is ClockKind.PULLED
    assert clock.now_ns(510) == 1_500


def test_a_clock_without_a_history_stays_what_it_is() -> None:
    for kind in (ClockKind.LIVE, ClockKind.PULLED, ClockKind.REPLAY):
        clock = FeedClock(kind)

        clock.go_live()

        assert clock.kind is kind
