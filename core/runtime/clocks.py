"""Clocks made of other clocks."""

from core.runtime.ports import Clock, MonotonicClock


def steady(now_ns: Clock, monotonic_ns: MonotonicClock) -> Clock:
    """A wall clock that nobody sets: it goes on from *now_ns* as *monotonic_ns* does.

    For what must not jump when an administrator or a virtual machine steps the wall clock.
    """
    ahead_ns = now_ns() - monotonic_ns()
    return lambda: monotonic_ns() + ahead_ns
