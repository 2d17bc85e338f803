"""The caches of ready answers, put together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from core.runtime.ports import Clock, MonotonicClock
from gateway.changes import Changes
from gateway.http.metrics import HttpMetrics
from gateway.http.serving import Directory, Serving
from gateway.http.shared_answers import SharedAnswers
from storage.keys import StreamKeys
from storage.redis import Redis

REDIS_TIMEOUT_S: Final = 0.25
"""For the client that is given to :class:`Caching`: the database is not far either."""

DEFAULT_BYTES: Final = 64 << 20
DEFAULT_REDIS_BYTES: Final = 32 << 20


@dataclass(kw_only=True, slots=True)
class Caching:
    """What the caches need. Without *redis* answers are not shared with other gateways."""

    changes: Changes = field(default_factory=Changes)
    max_bytes: int = DEFAULT_BYTES
    redis: Redis | None = None
    keys: StreamKeys = field(default_factory=StreamKeys)
    max_redis_bytes: int = DEFAULT_REDIS_BYTES


def make_serving(
    caching: Caching,
    *,
    market: Directory,
    metrics: HttpMetrics,
    is_private: Callable[[], bool],
    clocks: tuple[Clock, MonotonicClock],
    version: str,
) -> Serving:
    """The way of answers to the wire, for this version of the program."""

    shared = None
    if caching.redis is not None and caching.max_redis_bytes:
        shared = SharedAnswers(
            redis=caching.redis,
            keys=caching.keys,
            changes=caching.changes,
            version=version,
            now_ns=clocks[0],
            monotonic_ns=clocks[1],
            on_lookup=metrics.lookups("shared"),
            max_bytes=caching.max_redis_bytes,
        )
    return Serving(
        market=market,
        changes=caching.changes,
        monotonic_ns=clocks[1],
        on_lookup=metrics.lookups("answers"),
        is_private=is_private,
        shared=shared,
        max_bytes=caching.max_bytes,
    )
