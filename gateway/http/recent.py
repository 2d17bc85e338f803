"""Values by key, the newest of them: a dictionary that is cut now and then. Pure."""

from collections.abc import Hashable
from itertools import islice
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(dict[K, V]):
    """At most *most* values, once it was cut: the ones that came first go."""

    __slots__ = ("_most",)

    def __init__(self, most: int) -> None:
        self._most = most

    def cut(self) -> None:
        """Drop what is too much; cheap when nothing is."""
        for key in list(islice(self, max(0, len(self) - self._most))):
            del self[key]
