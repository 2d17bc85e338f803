"""Clocks that are made of other clocks."""

from core.runtime.clocks import steady


def test_a_steady_clock_goes_on_as_time_passes_however_the_wall_clock_is_set() -> None:
    wall_ns, monotonic_ns = 1_000_000, 50
    now_ns = steady(lambda: wall_ns, lambda: monotonic_ns)

    wall_ns, monotonic_ns = -(10**12), 80

    assert now_ns() == 1_000_030
