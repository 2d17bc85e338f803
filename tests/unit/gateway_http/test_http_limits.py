"""Requests per minute."""

from core.market.timeframe import MINUTE_NS, SECOND_NS
from gateway.http.limits import RequestLimiter
from gateway.tally import Layout, Tally
from gateway.tally_memory import private


def test_a_caller_has_its_requests_per_minute_and_then_waits_for_the_next() -> None:
    limiter = RequestLimiter(2, private())
    now_ns = MINUTE_NS + 50 * SECOND_NS + 1

    first, second, third = (limiter.take("a", now_ns) for _ in range(3))

    assert (first.allowed, first.remaining, first.limit) == (True, 1, 2)
    assert (second.allowed, second.remaining) == (True, 0)
    assert (third.allowed, third.remaining, third.retry_after_s) == (False, 0, 10)
    assert limiter.take("b", now_ns).allowed
    assert limiter.take("a", 2 * MINUTE_NS).allowed


def test_two_workers_share_the_requests_of_a_caller() -> None:
    layout = Layout(regions=2)
    words = memoryview(bytearray(8 * layout.words)).cast("Q")
    one, two = (RequestLimiter(2, Tally(words, layout, own)) for own in (0, 1))

    assert [limiter.take("a", 0).remaining for limiter in (one, two)] == [1, 0]
    assert not one.take("a", 0).allowed
    assert two.take("a", MINUTE_NS).remaining == 1
