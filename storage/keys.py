"""Names of the keys in Redis, and which shard a symbol belongs to. Pure.

A key of a shard holds a hash tag, so that all keys of one shard live on one node of a Cluster
and the shards spread evenly over its slots.
"""

import binascii
import re
import zlib
from collections.abc import Iterable
from typing import Final

SLOTS: Final = 16_384  # of a Redis Cluster
MAX_SHARDS: Final = 1_024
_NAMESPACE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


def slot_of(key: str) -> int:
    """The Cluster slot of *key*, by its hash tag where it has one.

    Source: Redis Cluster specification, "Key distribution model" (CRC16/XMODEM modulo 16384).
    """
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    hashed = tag if opened and closed and tag else key
    return binascii.crc_hqx(hashed.encode(), 0) % SLOTS


def shard_of(symbol: str, shards: int) -> int:
    """The shard that carries *symbol*: the same in every process and at every start."""
    return zlib.crc32(symbol.encode()) % shards


def shards_of(symbols: Iterable[str], shards: int) -> set[int]:
    """The shards that carry any of *symbols*."""
    return {zlib.crc32(symbol.encode()) % shards for symbol in symbols}


def shard_tags(shards: int) -> tuple[str, ...]:
    """One hash tag per shard, in the middle half of the shard's even part of the slots."""
    width = SLOTS / shards
    tags: dict[int, str] = {}
    candidate = 0
    while len(tags) < shards:
        slot = slot_of(str(candidate))
        shard = int(slot / width)
        if 0.25 <= slot / width - shard <= 0.75:
            tags.setdefault(shard, str(candidate))
        candidate += 1
    return tuple(tags[shard] for shard in range(shards))


class StreamKeys:
    """The keys of one deployment; several of them share a server under different namespaces."""

    def __init__(self, namespace: str = "tickgate", shards: int = 16) -> None:
        """*namespace* comes first in every key.

        Raises:
            ValueError: *namespace* has other characters than letters, digits and ``_ . -`` (or
                none, or more than 64), or *shards* is outside 1 to 1,024.
        """
        if not _NAMESPACE.fullmatch(namespace):
            raise ValueError(
                f"namespace {namespace[:80]!r}: expected 1 to 64 letters, digits, '_', '.' or '-'"
            )
        if not 1 <= shards <= MAX_SHARDS:
            raise ValueError(f"shards {shards}: expected 1 to {MAX_SHARDS}")
        self.namespace, self.shards = namespace, shards
        self._tags = shard_tags(shards)

    def ticks(self, feed: str, shard: int) -> str:
        """The stream of *feed*'s blocks of ticks."""
        return f"{self._of(shard)}:ticks:{feed}"

    def fence(self, feed: str, shard: int) -> str:
        """Beside that stream: the token of its writer, and the id of its last entry."""
        return f"{self._of(shard)}:fence:{feed}"

    def lease(self, feed: str) -> str:
        """Which process publishes *feed*."""
        return f"{self.namespace}:lease:{feed}"

    def gaps(self, feed: str) -> str:
        """What is known of the trade ids of *feed*'s symbols, and of those that are missing."""
        return f"{self.namespace}:gaps:{feed}"

    def bars(self, shard: int) -> str:
        """The stream of closed and revised bars."""
        return f"{self._of(shard)}:bars"

    def running(self, shard: int) -> str:
        """The stream of running bars."""
        return f"{self._of(shard)}:running"

    def answer(self, name: str) -> str:
        """An answer of the HTTP API that the gateways share."""
        return f"{self.namespace}:answer:{name}"

    @property
    def quarantine(self) -> str:
        return f"{self.namespace}:quarantine"

    @property
    def feeds(self) -> str:
        return f"{self.namespace}:feeds"

    @property
    def roles(self) -> str:
        return f"{self.namespace}:roles"

    def _of(self, shard: int) -> str:
        return f"{self.namespace}:{{{self._tags[shard]}}}"
