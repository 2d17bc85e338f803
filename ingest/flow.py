"""Flow control: how far the readers of a feed's streams are behind what was written. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

_KEPT_BLOCKS: Final = 10_000  # per shard: more than can be in flight, one tick in each


class ReaderReport(Protocol):
    """What is needed of :class:`storage.roles.RoleReport`."""

    @property
    def role(self) -> str: ...
    @property
    def reported_ms(self) -> int: ...
    @property
    def consumed(self) -> Mapping[str, int]: ...
    @property
    def subscribers(self) -> int: ...


class FlowLedger:
    """Ticks written by this run, by stream and block number, against what readers report."""

    def __init__(self, keys: Sequence[str]) -> None:
        """*keys*: the feed's streams, by shard."""
        self._keys = tuple(keys)
        self._blocks: list[deque[tuple[int, int]]] = [deque(maxlen=_KEPT_BLOCKS) for _ in keys]
        self._written = [0] * len(self._keys)

    def wrote(self, shard: int, number: int, ticks: int) -> None:
        """Block *number* of *shard*, with *ticks* ticks, is on the stream."""
        if ticks:
            self._written[shard] += ticks
            self._blocks[shard].append((number, self._written[shard]))

    def in_flight(self, reports: Sequence[ReaderReport], *, fresh_since_ms: int) -> int | None:
        """Ticks that the slowest reader has not consumed; None while no aggregator is known.

        Readers are the aggregators together, however old their reports (they continue there
        after a restart), and each gateway whose report is at least of *fresh_since_ms* (one that
        is gone takes nothing any more).
        """
        readers = [
            r.consumed for r in reports if r.role == "gateway" and r.reported_ms >= fresh_since_ms
        ]
        folded = folded_together(reports)
        if folded is None:
            return None
        return max(self._behind(consumed) for consumed in (*readers, folded))

    def wanted(self, reports: Sequence[ReaderReport], *, fresh_since_ms: int) -> bool:
        """Is a client subscribed at a gateway that has read from all of the streams?"""
        return any(
            report.role == "gateway"
            and report.subscribers > 0
            and report.reported_ms >= fresh_since_ms
            and all(report.consumed.get(key, 0) > 0 for key in self._keys)
            for report in reports
        )

    def _behind(self, consumed: Mapping[str, int]) -> int:
        behind = 0
        for shard, key in enumerate(self._keys):
            done, taken = consumed.get(key, 0), 0
            for number, written in reversed(self._blocks[shard]):
                if number <= done:
                    taken = written
                    break
            behind += self._written[shard] - taken
        return behind


def folded_together(reports: Sequence[ReaderReport]) -> Mapping[str, int] | None:
    """By stream, the newest block that an aggregator has folded; None without any aggregator.

    Of several that tell of a stream the latest report counts: an earlier owner's may still be on
    the board, and the next one goes on from what was stored, which is less.
    """
    aggregators = [report for report in reports if report.role == "aggregator"]
    folded: dict[str, int] = {}
    for report in sorted(aggregators, key=lambda report: report.reported_ms):
        folded |= report.consumed
    return folded if aggregators else None
