"""When to connect again: full jitter, so that the clients of a gateway do not come back at once.

Pure. Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from dataclasses import dataclass
from typing import Final

_MAX_DOUBLINGS: Final = 30  # beyond it every sensible cap is reached; a float would overflow


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits in ``[floor_s, min(cap_s, first_s * 2**attempt)]`` seconds, evenly spread.

    ``cap_s``: a gateway that is back has its clients again within as long, thousands of them spread
    over it. ``floor_s``: a draw near zero would hammer a gateway that refuses at once.
    """

    first_s: float = 1.0
    cap_s: float = 5.0
    floor_s: float = 0.1

    def wait_s(self, attempt: int, chance: float) -> float:
        """How long to wait before *attempt* (0: the first); *chance* is in ``[0, 1)``."""
        longest_s = min(self.cap_s, self.first_s * 2.0 ** min(attempt, _MAX_DOUBLINGS))
        return self.floor_s + chance * max(0.0, longest_s - self.floor_s)
