"""The state of a shard between flushes, as bytes: what a restart goes on from. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from aggregator.gaps import SymbolGaps
from aggregator.pending import Pending
from aggregator.shard import ShardCore
from aggregator.symbols import SymbolState
from aggregator.window import Window
from core.market.errors import TickgateError
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from core.market.trade_ids import KnownIds, TradeIds

VERSION: Final = 1


class CheckpointError(TickgateError):
    """A checkpoint cannot be read by this program."""

    def __init__(self, shard: int, reason: str) -> None:
        self.shard, self.reason = shard, reason
        super().__init__(shard, reason)

    def __str__(self) -> str:
        return f"checkpoint of shard {self.shard}: {self.reason}"


class StreamPosition(msgspec.Struct, frozen=True, array_like=True):
    """How far one tick stream is folded. ``number``: of the newest block folded."""

    entry_id: str = "0-0"
    number: int = 0
    feed_time_ns: int = -(2**63)
    ended: bool = False
    epoch: int = 0  # of that block; see BlockMeta
    watermark_ns: int = -(2**63)  # of that block, and those before


class _WindowState(msgspec.Struct, frozen=True, array_like=True):
    symbol: Symbol
    timeframe: Timeframe
    start_ns: int
    prices: tuple[float, float, float, float]  # open, high, low, close
    open_key: tuple[int, int]
    close_key: tuple[int, int]
    trades: int
    volume_parts: list[float]
    notional_parts: list[float]
    rev: int
    closed: bool
    feeds: tuple[str, ...]
    gap: bool = False


class _SymbolSnapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    symbol: Symbol
    newest_ns: int | None
    ids: KnownIds
    gaps: SymbolGaps | None = None
    pending: list[Pending] = msgspec.field(default_factory=list)
    given_ids: dict[int, int] = msgspec.field(default_factory=dict)


class _ShardSnapshot(msgspec.Struct, frozen=True, array_like=True):
    version: int
    positions: dict[str, StreamPosition]  # by feed
    symbols: list[_SymbolSnapshot]
    windows: list[_WindowState]


_MINUTE: Final = Timeframe.MIN_1
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_ShardSnapshot)
_VERSION_DECODER = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw, msgspec.Raw, msgspec.Raw])


def encode_state(core: ShardCore, positions: Mapping[str, StreamPosition]) -> bytes:
    """The whole state of a shard; call it with nothing deferred and no rows left to take."""
    symbols = [
        _SymbolSnapshot(
            state.symbol,
            state.newest_ns,
            state.ids.snapshot(),
            state.gaps,
            state.pending,
            state.given_ids,
        )
        for state in core.symbols.values()
    ]
    windows = [_frozen(window) for state in core.symbols.values() for window in _kept(state)]
    return _ENCODER.encode((VERSION, dict(positions), symbols, windows))


def restore_state(
    shard: int, state: bytes, core: ShardCore, *, keep_ids_ns: int
) -> dict[str, StreamPosition]:
    """Fill an empty *core* from :func:`encode_state`; returns the stream positions by feed.

    Raises:
        CheckpointError: another version wrote *state*, or it is damaged.
    """
    snapshot = _decode(shard, state)
    core.restore(
        [
            SymbolState(
                s.symbol,
                TradeIds.restore(s.ids, keep_ids_ns),
                s.newest_ns,
                s.gaps,
                pending=s.pending,
                given_ids=s.given_ids,
            )
            for s in snapshot.symbols
        ],
        [_thaw(window) for window in snapshot.windows],
    )
    return snapshot.positions


def decode_positions(shard: int, state: bytes) -> dict[str, StreamPosition]:
    """The stream positions by feed, of :func:`encode_state`, and nothing else.

    Raises:
        CheckpointError: as :func:`restore_state`.
    """
    return _decode(shard, state).positions


def _decode(shard: int, state: bytes) -> _ShardSnapshot:
    try:
        version = _VERSION_DECODER.decode(state)[0]
        if version != VERSION:
            raise CheckpointError(
                shard, f"version {version}, expected {VERSION}; run the newer program"
            )
        return _DECODER.decode(state)
    except msgspec.DecodeError as exc:
        raise CheckpointError(shard, f"damaged: {exc}") from exc


def _kept(state: SymbolState) -> Sequence[Window]:
    """The windows that are open, and the parents of open minutes."""
    windows = state.windows.values()
    kept = [window for window in windows if not window.closed]
    if len(kept) == len(windows):
        return kept
    closed = [window for window in windows if window.closed and window.timeframe is not _MINUTE]
    minutes_ns = [window.start_ns for window in kept if window.timeframe is _MINUTE]
    kept += [w for w in closed if any(w.start_ns <= ns < w.end_ns for ns in minutes_ns)]
    return kept


def _frozen(window: Window) -> tuple[object, ...]:
    """A :class:`_WindowState`, as a tuple: it takes half the time, and each window has one."""
    volume_parts, notional_parts = window.sums() if window.trades else ((), ())
    return (
        window.symbol,
        window.timeframe,
        window.start_ns,
        (window.open, window.high, window.low, window.close),
        (window.open_ns, window.open_seq),
        (window.close_ns, window.close_seq),
        window.trades,
        volume_parts,
        notional_parts,
        window.rev,
        window.closed,
        window.feeds,
        window.gap,
    )


def _thaw(state: _WindowState) -> Window:
    window = Window(state.symbol, state.timeframe, state.start_ns)
    window.open, window.high, window.low, window.close = state.prices
    window.open_ns, window.open_seq = state.open_key
    window.close_ns, window.close_seq = state.close_key
    window.trades, window.closed = state.trades, state.closed
    window.volume_parts, window.notional_parts = state.volume_parts, state.notional_parts
    while not window.closed and window.volume_parts[-1:] == [0.0]:
        # Terms that wait may end in zeros; of a closed window one is the mark of a given bar.
        window.volume_parts.pop()
    window.rev, window.feeds, window.gap = state.rev, state.feeds, state.gap
    return window
