"""Answers of closed ranges in Redis, for the other gateways: a help that may be away."""

import asyncio
import hashlib
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from core.market.symbol import Symbol
from core.market.timeframe import SECOND_NS
from core.runtime.ports import Clock, MonotonicClock
from gateway.changes import Changes
from gateway.http.answer_cache import CLOSED_NS, Kept
from gateway.http.packing import pack, unpack
from gateway.http.ready import Answer, Life, Ready
from storage.entry_id import EntryId
from storage.errors import StreamUnavailable
from storage.keys import StreamKeys
from storage.lookups import Lookups
from storage.redis import Redis, ResponseError, exchange

_FORMAT: Final = 1
_MAX_VALUE: Final = 512 * 1024  # bytes as stored; a page of 10,000 bars has 440 kB
_LIFE_S: Final = CLOSED_NS // SECOND_NS
_QUEUE: Final = 64  # answers on their way to Redis; further ones are not shared
_FIRST_PAUSE_NS, _LONGEST_PAUSE_NS = SECOND_NS, 15 * SECOND_NS
_MS_NS: Final = 1_000_000
_FRUITLESS: Final = 1_000  # look-ups in a row that found nothing: then there is hardly another one
_SAMPLE: Final = 8  # of so many one is made all the same, until something is found


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """An answer as stored: packed, with the positions that it was asked for at."""

    name: bytes
    directory: int
    asked_ms: int  # UNIX
    content_type: str
    symbols: tuple[Symbol, ...]
    span: tuple[int, int]
    at: tuple[EntryId, ...]  # by shard of the symbols, ascending
    headers: tuple[tuple[str, str], ...]
    packable: bool
    body: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Stored)


@dataclass(slots=True)
class SharedAnswers:
    """Finds and stores answers by name, in a Redis that may be slow or away.

    One that fails is left alone for a second, then for twice as long, up to 15 s. Where a thousand
    look-ups found nothing, one of eight is made until something is found. What a process
    has stored lately is bounded by *max_bytes*: each value expires after ten minutes, and past the
    bound nothing is stored until some have.
    """

    redis: Redis
    keys: StreamKeys
    changes: Changes
    version: str
    now_ns: Clock
    monotonic_ns: MonotonicClock
    on_lookup: Callable[[str], None]
    max_bytes: int
    _offers: "asyncio.Queue[tuple[bytes, Kept]]" = field(
        default_factory=lambda: asyncio.Queue(_QUEUE), init=False
    )
    _lookups: Lookups = field(init=False)
    _written: deque[tuple[int, int]] = field(default_factory=deque, init=False)
    _written_bytes: int = field(default=0, init=False)
    _away_until_ns: int = field(default=0, init=False)
    _pause_ns: int = field(default=_FIRST_PAUSE_NS, init=False)
    _fruitless: int = field(default=0, init=False)
    _passed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._lookups = Lookups(self.redis)

    def _name_of(self, request: Sequence[str]) -> bytes:
        """What the answer to *request* is stored under: that of this version of the program."""
        # A header may hold bytes that are no UTF-8; aiohttp keeps them as surrogates.
        words = [word.encode(errors="surrogateescape") for word in request]
        packed = _ENCODER.encode((_FORMAT, self.version, words))
        return hashlib.blake2b(packed, digest_size=20).digest()

    async def find(self, request: Sequence[str], directory: int) -> Kept | None:
        """The stored answer to *request*, if there is one that is right; never raises."""
        now_ns = self.monotonic_ns()
        if now_ns < self._away_until_ns or not self.changes.settled(now_ns):
            self.on_lookup("skipped")
            return None
        if self._fruitless >= _FRUITLESS and not self._is_sample():
            self.on_lookup("unlikely")
            return None
        name = self._name_of(request)
        value = await self._get(self.keys.answer(name.hex()))
        if value is None:
            return None
        self._fruitless = self._passed = 0
        kept = await self._read(name, value)
        if kept is None or kept.directory != directory or self.changes.touched(kept.basis):
            self.on_lookup("stale")
            return None
        self.on_lookup("hit")
        return kept

    def _is_sample(self) -> bool:
        """Is it time to see whether there is something by now?"""
        self._passed = (self._passed + 1) % _SAMPLE
        return self._passed == 0

    def offer(self, request: Sequence[str], kept: Kept) -> None:
        """Store *kept*, the answer to *request*, soon, if it is closed; not when too many wait."""
        if kept.ready.answer.life is Life.CLOSED and not self._offers.full():
            self._offers.put_nowait((self._name_of(request), kept))

    async def run(self) -> None:
        """Store what is offered, for ever."""
        while True:
            name, kept = await self._offers.get()
            if self.monotonic_ns() >= self._away_until_ns:
                await self._store(name, kept)

    async def _get(self, key: str) -> bytes | None:
        try:
            reply = await self._lookups.get(key)
        except StreamUnavailable:
            self._fail()
            return None
        if isinstance(reply, ResponseError):
            self._fail()
            return None
        self._pause_ns = _FIRST_PAUSE_NS
        if reply is None:
            self._fruitless += 1
            self.on_lookup("load")
        return bytes(reply) if reply is not None else None

    async def _store(self, name: bytes, kept: Kept) -> None:
        value = await self._value(name, kept)
        if value is None or not self._has_room(len(value)):
            return
        command = ("SET", self.keys.answer(name.hex()), value, "EX", _LIFE_S)
        try:
            (reply,) = await exchange(self.redis, [command])
        except StreamUnavailable:
            self._fail()
            return
        if isinstance(reply, ResponseError):
            self._fail()

    async def _value(self, name: bytes, kept: Kept) -> bytes | None:
        ready, basis = kept.ready, kept.basis
        answer = ready.answer
        body = await pack(ready) if ready.packable else answer.body
        if len(body) > _MAX_VALUE:
            return None
        age_ns = self.monotonic_ns() - kept.asked_ns
        return _ENCODER.encode(
            _Stored(
                name,
                kept.directory,
                (self.now_ns() - age_ns) // _MS_NS,
                answer.content_type,
                answer.symbols,
                basis.span,
                tuple(basis.at[shard] for shard in sorted(basis.at)),
                answer.headers,
                ready.packable,
                body,
            )
        )

    async def _read(self, name: bytes, value: bytes) -> Kept | None:
        try:
            stored = _DECODER.decode(value)
            if stored.name != name:
                return None
            body = await unpack(stored.body) if stored.packable else stored.body
            basis = self.changes.adopted(stored.symbols, stored.span, stored.at)
        except (msgspec.DecodeError, ValueError, zlib.error):
            return None
        age_ns = max(0, self.now_ns() - stored.asked_ms * _MS_NS)
        answer = Answer(
            body, stored.content_type, stored.symbols, Life.CLOSED, stored.span, stored.headers
        )
        ready = Ready.of(answer)
        ready.packed = stored.body if stored.packable else None
        asked_ns = self.monotonic_ns() - age_ns
        return Kept(ready, basis, stored.directory, asked_ns, shared=True)

    def _has_room(self, size: int) -> bool:
        now_ns = self.monotonic_ns()
        while self._written and self._written[0][0] <= now_ns:
            self._written_bytes -= self._written.popleft()[1]
        if self._written_bytes + size > self.max_bytes:
            return False
        self._written.append((now_ns + CLOSED_NS, size))
        self._written_bytes += size
        return True

    def _fail(self) -> None:
        self.on_lookup("away")
        self._away_until_ns = self.monotonic_ns() + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, _LONGEST_PAUSE_NS)
