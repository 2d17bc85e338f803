"""Memory settings for a process that makes and drops many large objects each moment."""

import ctypes
import gc
import sys
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of <malloc.h>
_KEPT_BYTES: Final = 32 << 20
_MAPPED_BYTES: Final = 8 << 20
_YOUNG: Final = (10_000, 10, 20)


def tune_for_bursts() -> None:
    """Keep up to 32 MiB of freed memory, and look for garbage cycles seldom.

    glibc gives the end of its heap back as soon as 128 KiB of it are free, so a batch that is
    made, used and dropped would cost page faults each time: a third of the time of sending it.
    Cycles are rare here, and the collector would look through every window's lists for them:
    5 % of the time of folding.
    """
    gc.set_threshold(*_YOUNG)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
            libc.mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES)
