"""What a session of mode ``latest`` has missed: the newest of each, until it can be sent. Pure."""

from collections.abc import Iterable
from typing import Final

from gateway import encode
from gateway.channels import Codec
from gateway.frames import Fragment

_CURSOR_KEY: Final = ("cursor", "")


MOST_ADDED: Final = 10
"""Windows in which something was said of a symbol's trades, behind its newest one."""


class Conflation:
    """Fragments that wait for a client that is behind; by key the newest, the cursor last.

    Bounded by the client's subscriptions: a fragment of a key there is replaces the older one. What
    was said of trades in windows without any stands behind the newest trade; when there is more of
    it than :data:`MOST_ADDED`, the oldest of that goes.
    """

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], list[Fragment]] = {}

    def add(self, parts: Iterable[Fragment]) -> int:
        """Hold *parts*, each of which must have a key; how many older ones will never be sent."""
        replaced = 0
        for part in parts:
            assert part.key is not None  # mode latest only gets fragments of topics, and cursors
            held = self._newest.pop(part.key, [])
            kept = _kept(held) if part.adds else []
            replaced += len(held) - len(kept)
            self._newest[part.key] = [*kept, part]
        return replaced

    def take(self) -> list[Fragment]:
        """Hand over everything that waits, the longest unchanged first."""
        parts = [part for held in self._newest.values() for part in held]
        self._newest = {}
        return parts


def _kept(held: list[Fragment]) -> list[Fragment]:
    """What stays of *held* when one comes that adds to it."""
    trades = 0 if not held or held[0].adds else 1
    return held if len(held) - trades < MOST_ADDED else [*held[:trades], *held[trades + 1 :]]


def cursor_fragment(text: str, codec: Codec) -> Fragment:
    """A cursor as the last part of a batch; a newer one replaces it."""
    return Fragment.of((encode.cursor(text, codec),), codec, key=_CURSOR_KEY)
