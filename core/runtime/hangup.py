"""What SIGHUP means to a server: read files anew, and end only where its terminal was closed.

Both a closed terminal and whoever asks a server to read its files anew send this signal. They are
told apart by the terminal itself: a process whose terminal is closed has none any more. The kernel
may send the signal a moment before it takes the terminal away, so that is looked at twice.
Source: Linux, drivers/tty/tty_jobctrl.c, disassociate_ctty().
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from typing import Final

from core.runtime.supervisor import StopRequest

log = logging.getLogger(__name__)

_LOOK_AGAIN_S: Final = 1.0
_TERMINAL: Final = "/dev/tty"  # that of the process that opens it


class Hangup:
    """SIGHUP calls *reload*; where the terminal is gone that the process was started in, it ends.

    A process started by a service manager, by ``nohup`` or in another way without a terminal does
    not end by it, nor does one that *has_parent*: that one drains it when it ends itself.
    """

    def __init__(self, reload: Callable[[], None], *, has_parent: bool = False) -> None:
        self._reload = reload
        is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
        self._ends = not (has_parent or is_ignored) and _has_terminal()

    def on_signal(self, stop: StopRequest) -> None:
        """Take one SIGHUP; *stop* is asked to drain where the terminal was closed."""
        if self._is_over(stop):
            return
        self._reload()
        asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._is_over, stop)

    def _is_over(self, stop: StopRequest) -> bool:
        if not self._ends or _has_terminal():
            return False
        if not stop.is_set:
            log.warning("the terminal was closed: ending")
            stop.set()
        return True


def _has_terminal() -> bool:
    try:
        handle = os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(handle)
    return True
