"""Requests per minute."""

from core.market.timeframe import MINUTE_NS, SECOND_NS
from gateway.http.limits import RequestLimiter


def test_a_caller_has_its_requests_per_minute_and_then_waits_for_the_next() -> None:
    limiter = RequestLimiter(2)
    now_ns = MINUTE_NS + 50 * SECOND_NS + 1

    first, second, third = (limiter.take("a", now_ns) for _ in range(3))

    assert (first.allowed, first.remaining, first.limit) == (True, 1, 2)
    assert (second.allowed, second.remaining) == (True, 0)
    assert (third.allowed, third.remaining, third.retry_after_s) == (False, 0, 10)
    assert limiter.take("b", now_ns).allowed
    assert limiter.take("a", 2 * MINUTE_NS).allowed


def test_more_callers_than_are_remembered_start_the_counts_anew() -> None:
    limiter = RequestLimiter(1)
    assert limiter.take("a", 0).allowed
    assert not limiter.take("a", 0).allowed

    for n in range(10_000):
        limiter.take(f"caller {n}", 0)

    assert limiter.take("a", 0).allowed
    assert not limiter.take("a", 0).allowed
