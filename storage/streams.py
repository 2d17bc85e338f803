"""Streams of ticks and bars in Redis: the writers, the reader, the registry of feeds."""

from storage.bar_writer import BarWriter
from storage.errors import LeaseHeld, LeaseLost, StaleOwner, StreamUnavailable
from storage.keys import StreamKeys, shard_of
from storage.quarantine import QuarantineRecord, QuarantineWriter
from storage.registry import FeedInfo, FeedRegistry
from storage.stream_reader import Entry, StreamReader
from storage.tick_writer import TickWriter

__all__ = [
    "BarWriter",
    "Entry",
    "FeedInfo",
    "FeedRegistry",
    "LeaseHeld",
    "LeaseLost",
    "QuarantineRecord",
    "QuarantineWriter",
    "StaleOwner",
    "StreamKeys",
    "StreamReader",
    "StreamUnavailable",
    "TickWriter",
    "shard_of",
]
