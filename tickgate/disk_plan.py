"""How `tickgate dev` shares out the disk that it may use. Pure.

What the embedded servers take at most: Valkey's append-only file and its successor about three
times its memory bound, which is 1.25 times the streams plus 64 MiB; PostgreSQL its log (256 MiB),
its catalogues, the bars and the log of ticks.
"""

from typing import Final, NamedTuple

_MIB: Final = 1 << 20
_FIXED: Final = (3 * 64 + 256 + 64) * _MIB  # Valkey's overhead thrice, write-ahead log, catalogues
_STREAM_COST: Final = 3 * 1.25  # bytes of disk for a byte of stream
_STREAM_SHARE: Final = 0.6  # of what is left after the fixed part; bars and ticks get the rest
MIN_DISK_BYTES: Final = 1024 * _MIB


class DiskPlan(NamedTuple):
    """Bounds to keep the whole within the cap."""

    stream_max_bytes: int
    bars_max_bytes: int
    tick_log_max_bytes: int


def share(disk_max_bytes: int) -> DiskPlan:
    """Split *disk_max_bytes*, which is at least :data:`MIN_DISK_BYTES`."""
    free = disk_max_bytes - _FIXED
    stored = int(free * (1 - _STREAM_SHARE))
    return DiskPlan(
        stream_max_bytes=int(free * _STREAM_SHARE / _STREAM_COST),
        bars_max_bytes=stored // 2,
        tick_log_max_bytes=stored // 2,
    )
