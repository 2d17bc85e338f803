from core.runtime.breaker import Breaker, BreakerState


def broken(*, at_s: float = 0.0) -> Breaker:
    breaker = Breaker(max_failures=3, retry_after_s=10.0)
    for _ in range(3):
        assert breaker.allows(at_s)
        breaker.record(ok=False, now_s=at_s)
    return breaker


def test_failures_in_a_row_open_it_and_a_success_between_starts_the_count_anew() -> None:
    breaker = Breaker(max_failures=2, retry_after_s=10.0)

    for ok in (False, True, False):
        breaker.record(ok=ok, now_s=0.0)

    assert not breaker.is_open
    breaker.record(ok=False, now_s=0.0)
    assert breaker.is_open
    assert not breaker.allows(9.9)


def test_once_the_time_is_over_one_probe_goes_out_and_others_wait_for_it() -> None:
    breaker = broken()

    assert breaker.allows(10.0)
    assert not breaker.allows(10.0)
    assert not breaker.allows(19.9)


def test_a_good_probe_closes_it() -> None:
    breaker = broken()
    assert breaker.allows(10.0)

    breaker.record(ok=True, now_s=10.5)

    assert breaker.allows(10.5)
    assert breaker.allows(10.5)
    assert not breaker.is_open


def test_a_failed_probe_opens_it_for_the_whole_time_again() -> None:
    breaker = broken()
    assert breaker.allows(10.0)

    breaker.record(ok=False, now_s=12.0)

    assert not breaker.allows(21.9)
    assert breaker.allows(22.0)


def test_a_probe_that_never_reports_does_not_block_the_next_for_ever() -> None:
    breaker = broken()
    assert breaker.allows(10.0)

    assert breaker.allows(20.0)


def test_it_says_what_it_does_and_for_how_long() -> None:
    breaker = Breaker(max_failures=1, retry_after_s=10.0)
    assert (breaker.state, breaker.wait_s(0.0)) == (BreakerState.CLOSED, 0.0)

    breaker.record(ok=False, now_s=1.0)
    assert (breaker.state, breaker.wait_s(2.0)) == (BreakerState.OPEN, 9.0)
    assert breaker.wait_s(20.0) == 0.0

    assert breaker.allows(11.0)
    assert (breaker.state, breaker.wait_s(11.0)) == (BreakerState.HALF_OPEN, 10.0)
    breaker.record(ok=False, now_s=12.0)
    assert breaker.state is BreakerState.OPEN
    breaker.record(ok=True, now_s=12.0)
    assert breaker.state is BreakerState.CLOSED
