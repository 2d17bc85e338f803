"""Checkpoints of this version come back; others are refused in words."""

import msgspec
import pytest

from aggregator.checkpoint import CheckpointError, StreamPosition, encode_state, restore_state
from aggregator.shard import ShardCore
from aggregator.window import Window
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from tests.property.aggregator.harness import KEEP_IDS_NS


def restore(state: bytes) -> dict[str, StreamPosition]:
    return restore_state(3, state, ShardCore(keep_ids_ns=KEEP_IDS_NS), keep_ids_ns=KEEP_IDS_NS)


def test_positions_come_back() -> None:
    positions = {"sim": StreamPosition("5-0", 7, 11, ended=True)}

    assert restore(encode_state(ShardCore(keep_ids_ns=1), positions)) == positions


def test_another_version_is_refused_in_words() -> None:
    newer = msgspec.msgpack.encode([2, {}, [], []])

    with pytest.raises(CheckpointError, match="shard 3: version 2, expected 1; run the newer"):
        restore(newer)


@pytest.mark.parametrize("state", [b"", b"\x93\x01", msgspec.msgpack.encode([1, 2, 3, 4])])
def test_a_damaged_one_is_refused(state: bytes) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        restore(state)


def test_a_window_without_ticks_merges_as_nothing_and_copies_as_open() -> None:
    empty = Window(Symbol("X:A"), Timeframe.MIN_1, 0)
    whole = Window(Symbol("X:A"), Timeframe.MIN_5, 0)
    whole.merge(empty)

    assert whole.trades == 0
    assert whole.copy().trades == 0
