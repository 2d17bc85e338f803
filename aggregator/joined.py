"""Blocks of a stream that lie one behind the other, joined into one. Pure.

A live feed seals a block each few milliseconds, so most hold a handful of ticks, and folding one
costs more than its ticks do. What piled up while the aggregator waited is folded a batch at a time.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol, TypeVar

import msgspec

from core.market.block import Block, BlockMeta, decode_blocks
from core.market.errors import BlockError

MOST_BYTES: Final = 384 * 1024
"""Of the payloads that are joined: 8 full blocks, as one read brings them, which fold in a few
milliseconds."""


class Piece(Protocol):
    """An entry of a stream."""

    @property
    def key(self) -> str:
        """Its stream."""
        ...

    @property
    def payload(self) -> bytes:
        """A block's bytes."""
        ...


P = TypeVar("P", bound=Piece)


class Joined(NamedTuple):
    """The ticks of several blocks as one block, and what the first of them said."""

    first: BlockMeta
    block: Block  # its number, end and position are those of the last


def runs(entries: Sequence[P]) -> list[list[P]]:
    """*entries* in order, cut into stretches of one stream, of :data:`MOST_BYTES` at most."""
    found: list[list[P]] = []
    key, held = "", 0
    for entry in entries:
        held += len(entry.payload)
        if not found or entry.key != key or held > MOST_BYTES:
            found.append([])
            key, held = entry.key, len(entry.payload)
        found[-1].append(entry)
    return found


def join(payloads: Sequence[bytes]) -> Joined | None:
    """All *payloads* as one block.

    None when they have to be taken one by one: one cannot be read or has notices, or their
    numbers do not count up under one epoch.
    """
    try:
        blocks, ticks = decode_blocks(payloads)
    except BlockError:
        return None
    metas = [meta for meta, _ in blocks]
    if any(meta.notices for meta in metas) or not all(map(_follows, pairwise(metas))):
        return None
    meta = msgspec.structs.replace(
        metas[-1],
        feed_time_ns=max(meta.feed_time_ns for meta in metas),
        watermark_ns=max(meta.watermark_ns for meta in metas),
    )
    return Joined(
        metas[0],
        Block(
            ticks.symbols,
            ticks.symbol_index,
            ticks.event_ns,
            ticks.price,
            ticks.size,
            ticks.trade_id,
            ticks.seq,
            ticks.side,
            meta,
        ),
    )


def _follows(pair: tuple[BlockMeta, BlockMeta]) -> bool:
    before, meta = pair
    return meta.order == (before.epoch, before.number + 1)
