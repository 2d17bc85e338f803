"""KeyFollower: the guard knows the keys of the database, as they are now."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from core.market.errors import TickgateError
from gateway.access.guard import Guard
from gateway.access.keyring import KeyRecord, Keyring, stored_keys
from storage.stored_key import StoredKey

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0  # until a key that was added, or revoked, is known here


class KeyStore(Protocol):
    """What is asked of :class:`storage.api_keys.ApiKeyStore`; raises a TickgateError while away."""

    async def version(self) -> int: ...

    async def any_ever(self) -> bool: ...

    def in_force(self) -> AsyncIterator[Sequence[StoredKey]]: ...


class KeyFollower:
    """Looks once a second whether the keys have changed. While the database is away all stays."""

    def __init__(
        self,
        store: KeyStore,
        guard: Guard,
        *,
        requests_per_minute: int,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """*requests_per_minute* is that of keys without a number of their own.

        *on_change* is called after the guard was told of other keys.
        """
        self.on_change = on_change
        self._store, self._guard = store, guard
        self._requests_per_minute = requests_per_minute
        self._version = -1  # as if never read

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self) -> bool:
        """Take over what has changed; False: the database cannot be asked, so nothing did."""
        try:
            version = await self._store.version()
            if version != self._version:
                await self._take()
                self._version = version
        except TickgateError as exc:
            # The gateway itself says aloud that the database is away.
            _LOG.debug("the API keys stay as they were: %s", exc)
            return False
        return True

    async def _take(self) -> None:
        if await self._store.any_ever():
            self._guard.require()  # before they are read: of many that takes a while
        records: dict[str, KeyRecord] = {}
        unreadable: list[str] = []
        async for keys in self._store.in_force():
            more, wrong = stored_keys(keys, requests_per_minute=self._requests_per_minute)
            records |= more
            unreadable += wrong
        if unreadable:
            _LOG.error("keys that let nobody in, their symbols cannot be read: %s", unreadable)
        self._guard.store(Keyring(records))
        _LOG.info("API keys of the database: %d in force", len(records))
        self.on_change()
