"""First trade: which id the first trade at or after a time has, by asking for single ones. Pure."""

from typing import Final

_MIN_ID: Final = 1
_FIRST_STEP: Final = 10_000


class FirstTrade:
    """Finds the id in about 2·log2 of the distance to it, for venues that count trades up.

    Ask for the trade :attr:`probe`, :meth:`tell` its time, and so on until :attr:`found`.
    """

    def __init__(self, *, newest_id: int, newest_ns: int, start_ns: int) -> None:
        """*newest_id*, *newest_ns*: the newest trade; *start_ns*: the wanted one's time."""
        self._start_ns = start_ns
        self._before: int | None = None  # this trade is older, or is not kept
        self._at = newest_id + 1 if newest_ns < start_ns else newest_id
        self._step = _FIRST_STEP
        if newest_ns < start_ns or newest_id <= _MIN_ID:
            self._before = self._at - 1

    @property
    def found(self) -> int | None:
        """The id, once it is known; one behind the newest where there is no such trade."""
        return self._at if self._before is not None and self._at - self._before <= 1 else None

    @property
    def probe(self) -> int:
        """The id to look at next, until :attr:`found`."""
        if self._before is None:
            return max(_MIN_ID, self._at - self._step)
        return (self._before + self._at) // 2

    def tell(self, event_ns: int | None) -> None:
        """The event time of trade :attr:`probe`; None: the venue does not have it (any more)."""
        probe = self.probe
        self._step *= 2
        if event_ns is None or event_ns < self._start_ns:
            self._before = probe
        else:
            self._at = probe
            if probe == _MIN_ID:
                self._before = probe - 1
