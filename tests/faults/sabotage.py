"""What keeps bars exact, taken out in turn, so that the checker can show that it would notice.

Used by :mod:`tests.faults.launch` in a process of its own, before the program is run there.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

DEDUPLICATION: Final = "deduplication"
FENCING: Final = "fencing"
CHECKPOINT: Final = "checkpoint"


def _without_deduplication() -> None:
    """No trade id is ever known."""
    from core.market.trade_ids import TradeIds

    TradeIds.add = lambda self, trade_id: True  # type: ignore[method-assign]
    TradeIds.add_run = lambda self, first, last: True  # type: ignore[method-assign]


def _without_fencing() -> None:
    """Whoever believes to own a shard may write it."""
    from storage import bars

    async def nobody_checks(*_: Any) -> None:
        return None

    bars.check_leases = nobody_checks  # type: ignore[attr-defined]
    unchecked = bars._UPSERT_CHECKPOINTS.replace(
        "WHERE (excluded.token, excluded.flush) >= (stored.token, stored.flush)", ""
    )
    assert unchecked != bars._UPSERT_CHECKPOINTS
    bars._UPSERT_CHECKPOINTS = unchecked  # type: ignore[misc]


def _without_checkpoint() -> None:
    """A shard begins as if it had never been folded; only its numbers go on."""
    from aggregator import shards

    def nothing(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    assert shards.restore_state
    shards.restore_state = nothing  # type: ignore[assignment]


PARTS: Final[dict[str, Callable[[], None]]] = {
    DEDUPLICATION: _without_deduplication,
    FENCING: _without_fencing,
    CHECKPOINT: _without_checkpoint,
}

CONTROLS: Final[Sequence[tuple[str, str, int]]] = (
    (FENCING, "two_aggregators", 3),
    (DEDUPLICATION, "duplicates", 1),
    (CHECKPOINT, "kill_aggregator", 1),
)
"""What is taken out, the fault in which that must be seen in the bars, and with how many seeds.

Whether a stale owner does harm depends on what it had not stored when it was stopped: in one seed
of four it is nothing.
"""
