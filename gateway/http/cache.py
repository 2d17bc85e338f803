"""Short-lived answers of the stores, fetched once however many ask at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from core.runtime.ports import MonotonicClock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Values by key, kept for *ttl_ns*; on a miss one caller loads, the others wait for it.

    Bounded to *max_keys*: when full, the oldest value is dropped. Errors are not kept: whoever
    waited gets the same one, the next caller loads anew. When the loading caller is cancelled,
    one of those who wait takes over.
    """

    def __init__(
        self,
        *,
        ttl_ns: int,
        max_keys: int,
        monotonic_ns: MonotonicClock,
        on_lookup: Callable[[str], None],
    ) -> None:
        """*on_lookup* is told each outcome: ``hit``, ``joined`` (waits for another) or ``load``."""
        self._ttl_ns, self._max_keys, self._now_ns = ttl_ns, max_keys, monotonic_ns
        self._on_lookup = on_lookup
        self._values: dict[K, tuple[int, V]] = {}  # with the time it was asked for; oldest first
        self._loading: dict[K, asyncio.Future[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """The value of *key*, at most *ttl_ns* old; raises what *load* raises."""
        while True:
            held = self._values.get(key)
            if held is not None and self._now_ns() - held[0] < self._ttl_ns:
                self._on_lookup("hit")
                return held[1]
            flight = self._loading.get(key)
            if flight is None:
                self._on_lookup("load")
                return await self._load(key, load)
            self._on_lookup("joined")
            await asyncio.wait({flight})  # unlike await, does not cancel it when we are cancelled
            if not flight.cancelled():
                return flight.result()

    async def _load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        flight: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._loading[key] = flight
        asked_ns = self._now_ns()
        try:
            value = await load()
        except Exception as exc:
            flight.set_exception(exc)
            flight.exception()  # nobody may be waiting: that is no unhandled error
            raise
        else:
            flight.set_result(value)
            self._keep(key, asked_ns, value)
            return value
        finally:
            flight.cancel()  # only when we were cancelled is it not done yet
            del self._loading[key]

    def _keep(self, key: K, asked_ns: int, value: V) -> None:
        self._values.pop(key, None)
        while len(self._values) >= self._max_keys:
            del self._values[next(iter(self._values))]
        self._values[key] = (asked_ns, value)
