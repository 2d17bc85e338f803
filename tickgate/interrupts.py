"""SIGTERM and SIGHUP end a command that is no role in order, as Ctrl-C does.

By themselves they would end it on the spot: half a file would stay, a lease would be held on, and
what was asked of an aggregator would be done for nobody.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Within the block both interrupt; then the process dies of the signal, as it would have.

    One that is ignored, as SIGHUP under ``nohup``, stays so.
    """
    caught: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        caught.append(signum)
        on_ctrl_c = signal.getsignal(signal.SIGINT)  # asyncio's, while a loop runs
        if callable(on_ctrl_c):
            on_ctrl_c(signal.SIGINT, frame)
        else:  # ignored: a script put us into the background
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()  # no other takes signals
    taken = [n for n in _SIGNALS if is_main and signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in taken}
    try:
        yield
    except KeyboardInterrupt:
        for number in caught[:1]:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
