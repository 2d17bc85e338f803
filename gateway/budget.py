"""A budget of so many things a second, with one second's worth saved up at most. Pure."""

_SECOND_NS = 1_000_000_000


class Budget:
    """A token bucket; the caller brings the time."""

    __slots__ = ("_left", "_per_s", "_then_ns")

    def __init__(self, per_s: int, now_ns: int) -> None:
        """Starts full: *per_s* things may come at once."""
        self._per_s, self._left, self._then_ns = per_s, float(per_s), now_ns

    def take(self, now_ns: int) -> bool:
        """May one more thing happen now?"""
        earned = (now_ns - self._then_ns) * self._per_s / _SECOND_NS
        self._left = min(self._left + earned, float(self._per_s))
        self._then_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True
