"""Protocol cores for connections that are open: lent while bytes come in, not kept by each.

Between two frames an open connection of `websockets`' Sans-I/O core has no state but that it is
open, so one core serves many connections in turn. Kept by each, they would take 4 KiB each.
"""

from typing import Final

from websockets.protocol import OPEN, SERVER, Protocol
from websockets.typing import LoggerLike

_SPARES: Final = 32  # more are rarely lent at once: a loop reads one connection after the other
_BETWEEN_FRAMES: Final = "at_eof"  # what the core's parser waits in before a frame begins


class Parsers:
    """Spare cores. Bounded: what comes back to a full store is let go."""

    def __init__(self, *, max_size: int, logger: LoggerLike) -> None:
        """*max_size* bounds an inbound message, in bytes."""
        self._max_size, self._logger = max_size, logger
        self._spare: list[Protocol] = []

    def take(self) -> Protocol:
        """A core for an open connection, at the beginning of a frame."""
        if self._spare:
            return self._spare.pop()
        return Protocol(SERVER, state=OPEN, max_size=self._max_size, logger=self._logger)

    def give_back(self, core: Protocol) -> bool:
        """Take *core* back if its connection may go on with any other; else it must be kept."""
        if not _is_blank(core):
            return False
        if type(core) is Protocol and len(self._spare) < _SPARES:
            self._spare.append(core)
        else:
            let_go(core)
        return True


def let_go(core: Protocol) -> None:
    """*core* is done with. Its parser refers to it: this saves the collector the work."""
    core.parser.close()


def _is_blank(core: Protocol) -> bool:
    """Open, between two messages, without extensions and with nothing left to read or write?"""
    return (
        core.state is OPEN
        and core.current_size is None
        and not core.extensions
        and not core.events
        and not core.writes
        and not core.reader.buffer
        and _waits_in(core.parser) == _BETWEEN_FRAMES
    )


def _waits_in(parser: object) -> str:
    """The name of the innermost generator that *parser* waits in."""
    inner = getattr(parser, "gi_yieldfrom", None)
    while inner is not None:
        parser, inner = inner, getattr(inner, "gi_yieldfrom", None)
    return getattr(parser, "__name__", "")
