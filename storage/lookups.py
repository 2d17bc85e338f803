"""Lookups: values of keys that many ask for at a time, by one exchange with Redis."""

import asyncio
from typing import Final

from storage.redis import Redis, Reply, exchange

_MOST: Final = 256  # keys of an exchange: values are small, and Redis answers others in between


class Lookups:
    """Asks at once for all keys that are wanted in a turn of the event loop.

    An exchange costs ten times what one more key costs. Any number of tasks may share one.
    """

    def __init__(self, redis: Redis) -> None:
        """*redis* stays the caller's."""
        self._redis = redis
        self._wanted: list[tuple[str, asyncio.Future[Reply]]] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> Reply:
        """The value of *key*: bytes, None, or an error of the server's.

        Raises:
            StreamUnavailable: no answer in the client's time.
        """
        loop = asyncio.get_running_loop()
        value: asyncio.Future[Reply] = loop.create_future()
        if not self._wanted or len(self._wanted) % _MOST == 0:
            task = loop.create_task(self._ask(), name="values of keys")  # begins after this turn
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        self._wanted.append((key, value))
        return await value

    async def _ask(self) -> None:
        some, self._wanted = self._wanted[:_MOST], self._wanted[_MOST:]
        try:
            replies = await exchange(self._redis, [("GET", key) for key, _ in some])
        except Exception as exc:  # noqa: BLE001 - it is theirs who wait
            for _, value in some:
                if not value.done():  # as it is when who asked was cancelled
                    value.set_exception(exc)
        else:
            for (_, value), reply in zip(some, replies, strict=True):
                if not value.done():
                    value.set_result(reply)
        finally:
            for _, value in some:
                value.cancel()  # only when this task was cancelled is one not done yet
