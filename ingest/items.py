"""Items: trades out of the JSON that any HTTP endpoint answers, by the paths in the spec. Pure."""

import hashlib
from collections import Counter
from collections.abc import Hashable
from typing import Any, Final

import msgspec

from core.market.errors import SymbolError
from core.market.symbol import Symbol, make_symbol
from core.market.tick import NO_ID, Side, Tick, plain_float
from ingest.errors import ParseError
from ingest.spec import PollOptions
from ingest.times import UNITS, StampReader, number_ns

_MASK_63: Final = 2**63 - 1
_KNOWN_ANSWERS: Final = 20_000  # names whose last untimed price is remembered

_FAULTS: Final = (
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
    SymbolError,
)


def hashed_id(*parts: object) -> int:
    """A stable 63-bit id of *parts*, equal in every process and at every start."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") & _MASK_63


class ItemReader:
    """Reads answers into ticks; gives ids to trades that come without one.

    * With an ``id`` path: integers are taken as they are, other ids as their 63-bit hash.
    * Without one but with a ``time`` path, a trade is known by (time, price, size) and by its
      place among equal ones in the answer: two equal trades in one answer are two trades, the
      same answer pulled twice is the same trades, also after a restart.
    * With either, what the previous answer held already is not handed out again.
    * With neither (a "last price" endpoint), only a change of (price, size) is a new trade; it
      carries the time of its arrival and no id.
    """

    def __init__(self, options: PollOptions) -> None:
        self._options = options
        self._stamps = StampReader()
        self._last: dict[str, Hashable] = {}
        self._previous: set[Hashable] = set()  # ids of the last answer; bounded by its size

    def read(
        self, body: bytes, *, symbol: str | None, arrived_ns: int
    ) -> tuple[list[Tick], list[ParseError]]:
        """The new trades of an answer, oldest first, and what could not be read.

        Args:
            body: JSON.
            symbol: whom the address asked for; None when the items name theirs.
            arrived_ns: wall clock; the event time of trades that have none.
        """
        try:
            items = _walk(msgspec.json.decode(body), self._options.items)
        except _FAULTS as exc:
            return [], [self._error(exc, body)]
        ticks: list[Tick] = []
        errors: list[ParseError] = []
        repeats: Counter[Hashable] = Counter()
        for item in items if isinstance(items, list) else [items]:
            try:
                tick = self._tick(item, symbol, arrived_ns, repeats)
            except _FAULTS as exc:
                errors.append(self._error(exc, msgspec.json.encode(item)))
            else:
                if tick is not None:
                    ticks.append(tick)
        ticks.sort(key=lambda tick: tick.event_ns)  # stable: equal times stay as answered
        return self._unseen(ticks), errors

    def _unseen(self, ticks: list[Tick]) -> list[Tick]:
        known = self._previous
        self._previous = {(t.symbol, t.trade_id) for t in ticks if t.trade_id != NO_ID}
        return [tick for tick in ticks if (tick.symbol, tick.trade_id) not in known]

    def _tick(
        self, item: Any, symbol: str | None, arrived_ns: int, repeats: Counter[Hashable]
    ) -> Tick | None:
        options = self._options
        ticker = str(_walk(item, options.symbol)) if options.symbol else symbol or ""
        if options.symbols and options.symbol and ticker not in options.symbols:
            return None  # the endpoint answers for more names than were asked for
        name = make_symbol(options.venue, ticker)
        price = _number(_walk(item, options.price))
        size = _number(_walk(item, options.size)) if options.size else 1.0
        event_ns = self._time_ns(item) if options.time else arrived_ns
        if options.id:
            trade_id, seq = _id(_walk(item, options.id))
            return Tick(name, trade_id, price, size, event_ns, Side.UNKNOWN, seq)
        if not options.time:
            return self._if_changed(name, price, size, event_ns)
        key = (name, event_ns, price, size)
        repeats[key] += 1
        trade_id = hashed_id(*key, repeats[key])
        return Tick(name, trade_id, price, size, event_ns, Side.UNKNOWN, 0)

    def _if_changed(self, name: Symbol, price: float, size: float, event_ns: int) -> Tick | None:
        if self._last.get(name) == (price, size):
            return None
        if len(self._last) >= _KNOWN_ANSWERS:
            self._last.clear()
        self._last[name] = (price, size)
        return Tick(name, NO_ID, price, size, event_ns)

    def _time_ns(self, item: Any) -> int:
        value = _walk(item, self._options.time)
        unit = self._options.unit
        if unit == "rfc3339":
            return self._stamps.read_ns(str(value))
        return number_ns(value, UNITS[unit])

    def _error(self, error: Exception, body: bytes) -> ParseError:
        reason = f"no {error}" if isinstance(error, LookupError) else str(error)
        return ParseError("poll", reason, body[:120].decode("utf-8", "backslashreplace"))


def _walk(value: Any, path: str) -> Any:
    """Follow *path*, names and list indices joined by dots; the empty path is *value* itself."""
    for step in path.split(".") if path else ():
        if isinstance(value, list):
            value = value[int(step)]
        elif isinstance(value, dict):
            value = value[step]
        else:
            raise LookupError(f"{step!r} in a {type(value).__name__}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{str(value)[:40]!r} is no number")
    return plain_float(value)


def _id(value: Any) -> tuple[int, int]:
    """Trade id and sequence."""
    if value is None or value == "":
        return NO_ID, 0
    text = str(value)
    if text.isdecimal() and int(text) <= _MASK_63:
        return int(text), int(text)
    return hashed_id(text), 0
