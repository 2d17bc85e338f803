"""Logging: one line a record, text for people or JSON for machines, times in UTC.

Code logs what a human acts on through ``logging.getLogger(__name__)``; :class:`RateLimited` keeps a
warning that repeats from filling the log, without hiding how often it happened.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, TextIO

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

# Attributes that every record has; what is there beyond them came in by ``extra=``.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOISY = ("asyncio", "aiohttp", "websockets", "psycopg", "urllib3")  # their chatter is not ours
# Warns of each attempt to connect, in several lines; storage says once that the server is away.
_REPEATING = ("psycopg.pool",)


class TextFormatter(logging.Formatter):
    """``2025-01-31 12:00:00.123Z WARNING ingest: message``, the traceback below it."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, role: str) -> None:
        """*role* names the process in every line."""
        super().__init__(f"%(asctime)s %(levelname)-7s {role}: %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, role, logger, message, error, and every ``extra``."""

    def __init__(self, role: str) -> None:
        """*role* names the process in every line."""
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        return json.dumps(line, default=str)


def set_up(
    *, role: str, level: LogLevel = "info", fmt: LogFormat = "text", stream: TextIO | None = None
) -> None:
    """Send every record of this process to *stream* (default: stderr); replaces a former set-up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(role) if fmt == "json" else TextFormatter(role))
    root = logging.getLogger()
    for former in list(root.handlers):
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in _REPEATING:
        logging.getLogger(name).setLevel(max(logging.ERROR, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _log_crash if fmt == "json" else sys.__excepthook__


def speaks_json() -> bool:
    """Is what this process logs for machines? Then nothing else may come in between."""
    return any(isinstance(h.formatter, JsonFormatter) for h in logging.getLogger().handlers)


def _log_crash(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """An error that ends the process, as one line like all others."""
    told = (kind, error, trace)
    logging.getLogger(__name__).critical("ended by an unexpected error", exc_info=told)


class RateLimited:
    """Warnings that may repeat: per *key* one line at once, then at most one an interval.

    What was held back is counted in the next line. Keys are bounded: beyond *max_keys* all further
    ones share a single key, so that hostile input cannot grow the table.
    """

    def __init__(
        self,
        logger: logging.Logger,
        monotonic_ns: Callable[[], int],
        *,
        interval_s: float = 10.0,
        max_keys: int = 1000,
    ) -> None:
        """Log through *logger*; *monotonic_ns* tells the time."""
        self._log, self._monotonic_ns = logger, monotonic_ns
        self._interval_ns = round(interval_s * 1e9)
        self._max_keys = max_keys
        self._held: dict[str, tuple[int, int]] = {}  # key -> (last logged ns, held back since)

    def warning(self, key: str, message: str, *args: object) -> bool:
        """Log *message* unless *key* was logged within the interval; True when it was logged."""
        if key not in self._held and len(self._held) >= self._max_keys:
            key = ""
        now_ns = self._monotonic_ns()
        last_ns, held = self._held.get(key, (now_ns - self._interval_ns, 0))
        if now_ns - last_ns < self._interval_ns:
            self._held[key] = (last_ns, held + 1)
            return False
        self._held[key] = (now_ns, 0)
        more = f" ({held} more of these since the last line)" if held else ""
        self._log.warning(message + more.replace("%", "%%"), *args)
        return True
