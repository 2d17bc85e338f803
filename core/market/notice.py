"""Notices: what a feed says about trades besides the trades; they travel in blocks. Pure.

A notice holds for what comes before it: it stands behind all ticks of its block.
"""

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from core.market.errors import BlockError
from core.market.symbol import Symbol
from core.market.tick import NO_ID, Side


class GapState(enum.StrEnum):
    """How far the mending of a gap is."""

    OPEN = "open"  # trades are missing, and are being asked for
    FILLED = "filled"  # they are all in the stream, before this notice
    LOST = "lost"  # they will not come: the venue does not have them, or not any more


class CancelAction(enum.StrEnum):
    """Why a trade is taken back, as the Alpaca protocol spells it."""

    CANCEL = "C"
    ERROR = "E"


class Gap(msgspec.Struct, frozen=True, array_like=True, tag="gap", gc=False):
    """Trades of *symbol* that are known to be missing, or no longer.

    ``first_id`` to ``last_id`` are the missing trade ids, both included (:data:`NO_ID`: it is not
    known which). ``from_ns`` and ``to_ns`` are the event times of the trades around them, between
    which the missing ones were; what tells gaps of a symbol apart is ``(from_ns, first_id)``. A gap
    that is FILLED without ids stands for all that lie within its times.
    """

    symbol: Symbol
    state: GapState
    from_ns: int
    to_ns: int
    first_id: int = NO_ID
    last_id: int = NO_ID


class Correction(msgspec.Struct, frozen=True, array_like=True, tag="c", gc=False):
    """The venue replaces a trade by another one, which keeps its place and event time.

    ``event_ns`` is when the venue says so, not when the trade was. A repeated correction changes
    nothing: there is no trade ``trade_id`` any more (or, with the same id, it is so already).
    """

    symbol: Symbol
    event_ns: int
    trade_id: int
    price: float
    size: float
    new_id: int
    new_price: float
    new_size: float


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="x", gc=False):
    """The venue takes a trade back. ``event_ns`` is when it says so, not when the trade was."""

    symbol: Symbol
    event_ns: int
    trade_id: int
    price: float
    size: float
    side: Side = Side.UNKNOWN
    action: CancelAction = CancelAction.CANCEL


Notice = Gap | Correction | Cancel
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(tuple[Notice, ...])


def encode_notices(notices: Sequence[Notice]) -> bytes:
    """The bytes of *notices*, in order."""
    return _ENCODER.encode(notices)


def decode_notices(encoded: bytes) -> tuple[Notice, ...]:
    """What :func:`encode_notices` encoded.

    Raises:
        BlockError: these are no notices that this program knows.
    """
    try:
        return _DECODER.decode(encoded)
    except msgspec.DecodeError as exc:
        raise BlockError(f"its notices cannot be read: {exc}") from exc
