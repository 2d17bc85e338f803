"""What a session of mode ``latest`` has missed: the newest of each, until it can be sent. Pure."""

from collections.abc import Iterable
from typing import Final

from gateway import encode
from gateway.channels import Codec
from gateway.frames import Fragment

_CURSOR_KEY: Final = ("cursor", "")


class Conflation:
    """Fragments that wait for a client that is behind; by key the newest, the cursor last.

    Bounded by the client's subscriptions: a fragment of a key there is replaces the older one.
    """

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], Fragment] = {}

    def add(self, parts: Iterable[Fragment]) -> int:
        """Hold *parts*, each of which must have a key; how many older ones will never be sent."""
        replaced = 0
        for part in parts:
            assert part.key is not None  # mode latest only gets fragments of topics, and cursors
            replaced += self._newest.pop(part.key, None) is not None
            self._newest[part.key] = part
        return replaced

    def take(self) -> list[Fragment]:
        """Hand over everything that waits, the longest unchanged first."""
        parts, self._newest = list(self._newest.values()), {}
        return parts


def cursor_fragment(text: str, codec: Codec) -> Fragment:
    """A cursor as the last part of a batch; a newer one replaces it."""
    return Fragment.of((encode.cursor(text, codec),), codec, key=_CURSOR_KEY)
