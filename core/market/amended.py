"""What is left of trades when corrections and cancels are applied to them. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from core.market.notice import Cancel, Correction
from core.market.tick import NO_ID, Tick

Amendment = Correction | Cancel


def amended(ticks: Sequence[Tick], amendments: Iterable[Amendment]) -> list[Tick]:
    """*ticks* of one symbol as they stand after *amendments*; in the same order.

    It does not matter in which order these came, nor how often: they are applied by their times.
    A corrected trade keeps its place and event time, and may be corrected or cancelled under its
    new id again. Where a trade of that id is there in its own right, that one counts, once.
    """
    said: dict[int, list[Amendment]] = {}
    for amendment in set(amendments):
        said.setdefault(amendment.trade_id, []).append(amendment)
    own = {tick.trade_id for tick in ticks}
    found: list[Tick] = []
    for tick in ticks:
        left: Tick | None = tick
        if tick.trade_id in said and tick.trade_id != NO_ID:
            left = _after(tick, said)
            if left is not None and left.trade_id != tick.trade_id:
                left = None if left.trade_id in own else left
                own.add(tick.trade_id if left is None else left.trade_id)
        if left is not None:
            found.append(left)
    return found


def earlier_ids(amendments: Iterable[Amendment]) -> dict[int, set[int]]:
    """By id, those that were corrected to it."""
    found: dict[int, set[int]] = {}
    for amendment in amendments:
        if isinstance(amendment, Correction):
            found.setdefault(amendment.new_id, set()).add(amendment.trade_id)
    return found


def concerning(trade_id: int, earlier: Mapping[int, set[int]]) -> set[int]:
    """Ids under which the trade *trade_id* may have come; *earlier* is of :func:`earlier_ids`."""
    found, waiting = {trade_id}, [trade_id]
    while waiting:
        news = earlier.get(waiting.pop(), set()) - found
        found |= news
        waiting += news
    return found


def _after(tick: Tick, said: Mapping[int, Sequence[Amendment]]) -> Tick | None:
    ids = [tick.trade_id]  # that it may have had; grows while it is walked
    some: list[Amendment] = []
    for trade_id in ids:
        some += said.get(trade_id, ())
        new = {a.new_id for a in said.get(trade_id, ()) if isinstance(a, Correction)}
        ids += sorted(new.difference(ids))
    trade_id, price, size = tick.trade_id, tick.price, tick.size
    for amendment in sorted(some, key=_order_of):
        if amendment.trade_id != trade_id:
            continue
        if isinstance(amendment, Cancel):
            return None
        trade_id, price, size = amendment.new_id, amendment.new_price, amendment.new_size
    return Tick(tick.symbol, trade_id, price, size, tick.event_ns, tick.side, tick.seq)


def _order_of(amendment: Amendment) -> tuple[int, int, bool, tuple[float, ...]]:
    """By time; what is left decides between those of one moment, the same way each time."""
    rest = (amendment.price, amendment.size)
    if isinstance(amendment, Cancel):
        return amendment.event_ns, amendment.trade_id, True, rest
    new = (amendment.new_id, amendment.new_price, amendment.new_size)
    return amendment.event_ns, amendment.trade_id, False, (*new, *rest)
