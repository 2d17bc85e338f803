"""Rows of a replay file to ticks: header ``symbol,trade_id,event_ns,side,price,size``. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

from core.market.errors import SymbolError
from core.market.symbol import Symbol, make_symbol
from core.market.tick import NO_ID, Side, Tick, plain_float
from ingest.errors import RowError
from ingest.items import hashed_id

HEADER: Final = ("symbol", "trade_id", "event_ns", "side", "price", "size")
_SIDES: Final = {"buy": Side.BUY, "sell": Side.SELL, "": Side.UNKNOWN, "unknown": Side.UNKNOWN}
_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1
_MAX_SYMBOLS: Final = 50_000  # cached; a file with more is read all the same


def is_int64(text: str) -> bool:
    """Does *text* stand for an integer of 64 bits, other than the one that says "no id"?"""
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        return False
    return _MIN_INT64 < int(text) <= _MAX_INT64


class TradeIdRanks:
    """Ids of a file in which not all are integers: hashed, and in the order of their texts."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._ranks = {text: rank for rank, text in enumerate(sorted(set(ids)), start=1)}

    def read(self, text: str) -> tuple[int, int]:
        """Trade id and sequence of *text*."""
        return hashed_id(text), self._ranks.get(text, 0)


class RowReader:
    """Reads rows of one file; owned by whoever reads the file."""

    def __init__(self, venue: str, ranks: TradeIdRanks | None) -> None:
        """*ranks* None: all ids of the file are integers, or empty."""
        self._venue, self._ranks = venue, ranks
        self._symbols: dict[str, Symbol] = {}

    def read(self, fields: Sequence[str], line: int) -> Tick:
        """The tick of one row; price, size and time are judged elsewhere.

        Raises:
            RowError: the row is no trade, whatever its numbers.
        """
        try:
            name, id_text, time_text, side, price, size = fields
            symbol = self._symbols.get(name) or self._new_symbol(name)
            trade_id, seq = self._id(id_text)
            if not is_int64(time_text):
                raise ValueError(f"event_ns {time_text[:30]!r} is no integer of 64 bits")
            return Tick(
                symbol,
                trade_id,
                plain_float(price),
                plain_float(size),
                int(time_text),
                _side(side),
                seq,
            )
        except (ValueError, SymbolError) as exc:
            raise RowError(line, _reason(exc, fields), ",".join(fields)) from exc

    def _new_symbol(self, name: str) -> Symbol:
        if len(self._symbols) >= _MAX_SYMBOLS:
            self._symbols.clear()
        self._symbols[name] = symbol = make_symbol(self._venue, name)
        return symbol

    def _id(self, text: str) -> tuple[int, int]:
        if not text:
            return NO_ID, 0
        if self._ranks is not None:
            return self._ranks.read(text)
        if not is_int64(text):
            raise ValueError(f"trade_id {text[:30]!r} is no integer, but those before were")
        return int(text), int(text)


def _side(text: str) -> Side:
    side = _SIDES.get(text) if text in _SIDES else _SIDES.get(text.lower())
    if side is None:
        raise ValueError(f"side {text[:20]!r} is none of buy, sell or nothing")
    return side


def _reason(error: Exception, fields: Sequence[str]) -> str:
    if len(fields) != len(HEADER):
        return f"{len(fields)} fields, expected {len(HEADER)}"
    for name, text in zip(HEADER[-2:], fields[-2:], strict=True):
        if not _is_number(text):
            return f"{name} {text[:30]!r} is no number"
    return str(error)


def _is_number(text: str) -> bool:
    try:
        plain_float(text)
    except ValueError:
        return False
    return True
