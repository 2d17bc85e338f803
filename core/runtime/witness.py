"""Witness: who is told how it goes with children. Needs nothing beyond the standard library."""

from typing import NamedTuple, Protocol


class Crash(NamedTuple):
    """A child ended by itself."""

    name: str
    exit: str  # how, for people
    in_a_row: int  # runs that ended too soon, this one included
    wait_s: float  # until it is started again
    is_loop: bool  # it has ended so often in a row that nobody should overlook it


class Witness(Protocol):
    """Who is told how it goes with children."""

    def crashed(self, crash: Crash) -> None:
        """A child ended by itself, and will be started again."""
        ...

    def lasted(self, name: str) -> None:
        """A child has run for so long that former crashes count no more."""
        ...


class Nobody:
    """Takes no notice."""

    def crashed(self, crash: Crash) -> None:
        pass

    def lasted(self, name: str) -> None:
        pass
