"""What is left of trades when corrections and cancels are applied to them. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from core.market.notice import Cancel, Correction
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from core.market.timeframe import MINUTE_NS

EARLY_NS: Final = 360 * MINUTE_NS
"""What was said longer than this before a trade is about another trade of that id: exchanges that
number the trades of a day begin anew, and stocks rest for eight hours at night. What is said later
than two hours after the last trades of a day may meet the first ones of the next."""

Amendment = Correction | Cancel


class Sighting(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """The trade *trade_id* came in its own right, at ``at_ns`` (event time).

    Noted where a correction joins trades of several minutes: who looks at one of these minutes
    alone has to know of the others. ``event_ns`` is that of what was said last of them.
    """

    symbol: Symbol
    event_ns: int
    trade_id: int
    at_ns: int


Word = Correction | Cancel | Sighting
"""What is kept beside the ticks."""

_Live = dict[int, tuple[Tick | None, int, float, float]]
"""By the id of now: the trade as it came (None: elsewhere), its id then, its price and size."""


def amended(ticks: Sequence[Tick], words: Iterable[Word]) -> list[Tick]:
    """*ticks* of one symbol as they stand after *words*; in the same order.

    It does not matter in which order these came, nor how often: they are applied by their times.
    A corrected trade keeps its place and event time, and may be corrected or cancelled under its
    new id again. Where a trade of that id came in its own right, here or where a sighting says,
    the two are one from then on: the corrected one, with the correction's data. What was said
    more than :data:`EARLY_NS` before a trade is not about it; no id may come twice in *ticks*, so
    they are of fewer hours than that.
    """
    own = {tick.trade_id: tick for tick in ticks if tick.trade_id != NO_ID}
    about, seen = _by_id({word for word in words if not _is_of_before(word, own)})
    concerned = _joined(own.keys() & about.keys(), about)
    live: _Live = {id_: (None, id_, 0.0, 0.0) for id_ in concerned & seen}
    for id_ in concerned & own.keys():
        live[id_] = (own[id_], id_, own[id_].price, own[id_].size)
    for amendment in sorted({a for id_ in concerned for a in about[id_]}, key=_order_of):
        trade = live.pop(amendment.trade_id, None)
        if trade is not None and isinstance(amendment, Correction):
            new = amendment.new_price, amendment.new_size
            live[amendment.new_id] = (*trade[:2], *new)
    now = {trade[1]: (id_, *trade[2:]) for id_, trade in live.items()}
    return [
        _changed(tick, *now[tick.trade_id]) if tick.trade_id in concerned else tick
        for tick in ticks
        if tick.trade_id not in concerned or tick.trade_id in now
    ]


def _is_of_before(word: Word, own: Mapping[int, Tick]) -> bool:
    """Is *word* about a trade that had the id of one of *own* before it?"""
    said_ns = word.at_ns if isinstance(word, Sighting) else word.event_ns
    ids = (word.trade_id, word.new_id) if isinstance(word, Correction) else (word.trade_id,)
    return any(id_ in own and said_ns < own[id_].event_ns - EARLY_NS for id_ in ids)


def earlier_ids(words: Iterable[Word]) -> dict[int, set[int]]:
    """By id, those that were corrected to it."""
    found: dict[int, set[int]] = {}
    for word in words:
        if isinstance(word, Correction):
            found.setdefault(word.new_id, set()).add(word.trade_id)
    return found


def concerning(trade_id: int, earlier: Mapping[int, set[int]]) -> set[int]:
    """Ids under which the trade *trade_id* may have come; *earlier* is of :func:`earlier_ids`."""
    found, waiting = {trade_id}, [trade_id]
    while waiting:
        news = earlier.get(waiting.pop(), set()) - found
        found |= news
        waiting += news
    return found


def families(ids: Iterable[int], words: Iterable[Word]) -> list[frozenset[int]]:
    """*ids*, each with all ids that corrections join with it, whichever way; each family once."""
    about, _ = _by_id(set(words))
    found: dict[frozenset[int], None] = {}
    known: set[int] = set()
    for id_ in ids:
        if id_ not in known:
            family = frozenset(_joined({id_}, about))
            known |= family
            found[family] = None
    return list(found)


def _by_id(words: Collection[Word]) -> tuple[dict[int, list[Amendment]], set[int]]:
    """The amendments from and to each id; and the ids of sightings."""
    about: dict[int, list[Amendment]] = {}
    seen: set[int] = set()
    for word in words:
        if isinstance(word, Sighting):
            seen.add(word.trade_id)
            continue
        about.setdefault(word.trade_id, []).append(word)
        if isinstance(word, Correction):
            about.setdefault(word.new_id, []).append(word)
    return about, seen


def _joined(ids: Collection[int], about: Mapping[int, Sequence[Amendment]]) -> set[int]:
    """*ids*, and those that corrections join with them."""
    found, waiting = set(ids), list(ids)
    while waiting:
        some = about.get(waiting.pop(), ())
        linked = {a.trade_id for a in some} | {a.new_id for a in some if isinstance(a, Correction)}
        waiting += linked - found
        found |= linked
    return found


def _changed(tick: Tick, trade_id: int, price: float, size: float) -> Tick:
    return Tick(tick.symbol, trade_id, price, size, tick.event_ns, tick.side, tick.seq)


def _order_of(amendment: Amendment) -> tuple[int, int, bool, tuple[float, ...]]:
    """By time; what is left decides between those of one moment, the same way each time."""
    rest = (amendment.price, amendment.size)
    if isinstance(amendment, Cancel):
        return amendment.event_ns, amendment.trade_id, True, rest
    new = (amendment.new_id, amendment.new_price, amendment.new_size)
    return amendment.event_ns, amendment.trade_id, False, (*new, *rest)
