from core.runtime.breaker import BreakerState
from ingest.venue_gate import VenueGate


def test_requests_go_out_at_the_venues_rate() -> None:
    gate = VenueGate("x", requests_per_s=2.0)

    assert [gate.enter(0.0), gate.enter(0.1)] == [0, 0]
    assert gate.enter(0.2) == 0.8
    assert gate.enter(1.0) == 0
    assert gate.enter(1.0) > 0


def test_a_slow_venue_is_asked_one_at_a_time() -> None:
    gate = VenueGate("x", requests_per_s=0.5)

    assert gate.enter(0.0) == 0
    assert gate.enter(0.5) == 1.5
    assert gate.enter(2.0) == 0


def test_a_venue_that_wants_to_be_left_alone_is() -> None:
    gate = VenueGate("x", requests_per_s=100.0)

    gate.refuse(0.0, 7.0)
    assert gate.enter(1.0) == 6.0
    gate.refuse(1.0, 2.0)
    assert gate.enter(1.0) == 6.0
    gate.refuse(7.0, None)
    assert gate.enter(7.0) == 10.0
    gate.refuse(20.0, 10_000.0)
    assert gate.enter(20.0) == 300.0
    assert gate.state is BreakerState.CLOSED
    assert gate.refused == 4


def test_failures_open_the_breaker_and_a_good_probe_closes_it() -> None:
    gate = VenueGate("x", requests_per_s=100.0, retry_after_s=10.0)
    for _ in range(5):
        gate.fail(1.0, "down")

    assert gate.state is BreakerState.OPEN
    assert gate.enter(2.0) == 9.0
    assert gate.enter(11.0) == 0
    assert gate.state is BreakerState.HALF_OPEN
    assert gate.enter(11.0) == 10.0
    assert gate.fault == "down"
    gate.answer(12.0)
    assert gate.fault == ""
    assert gate.state is BreakerState.CLOSED
    assert gate.enter(12.0) == 0
    assert (gate.answered, gate.failed) == (1, 5)


def test_a_failed_probe_opens_it_again() -> None:
    gate = VenueGate("x", requests_per_s=100.0)
    for _ in range(5):
        gate.fail(0.0, "down")
    assert gate.enter(10.0) == 0

    gate.fail(11.0, "down")

    assert gate.state is BreakerState.OPEN
    assert gate.enter(12.0) == 9.0
