import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from core.runtime import logs
from core.runtime.logs import RateLimited


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_text_lines_carry_utc_time_level_and_role(stream: io.StringIO) -> None:
    logs.set_up(role="gateway", stream=stream)

    logging.getLogger("x").warning("port %d", 1)

    date, time, level, role, *rest = stream.getvalue().split()
    assert (level, role, rest) == ("WARNING", "gateway:", ["port", "1"])
    assert len(date) == 10
    assert time.endswith("Z")


def test_json_lines_carry_extras_and_the_traceback(stream: io.StringIO) -> None:
    logs.set_up(role="ingest", fmt="json", stream=stream)

    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("x").exception("failed", extra={"feed": "sim"})

    line = json.loads(stream.getvalue())
    assert (line["level"], line["role"], line["feed"]) == ("error", "ingest", "sim")
    assert line["time"].endswith("Z")
    assert "boom" in line["error"]


def test_the_level_is_kept_and_libraries_are_quieter(stream: io.StringIO) -> None:
    logs.set_up(role="r", level="debug", stream=stream)

    logging.getLogger("own").debug("shown")
    logging.getLogger("psycopg").info("hidden")
    logging.getLogger("psycopg.pool").warning("hidden, as storage says it once and in one line")

    assert "shown" in stream.getvalue()
    assert "hidden" not in stream.getvalue()


def test_an_error_that_ends_the_process_is_a_json_line_too(stream: io.StringIO) -> None:
    logs.set_up(role="ingest", fmt="json", stream=stream)

    error = RuntimeError("boom")
    sys.excepthook(RuntimeError, error, None)
    spoken = logs.speaks_json()
    logs.set_up(role="ingest", stream=stream)

    line = json.loads(stream.getvalue())
    assert (line["level"], spoken) == ("critical", True)
    assert "boom" in line["error"]
    assert (sys.excepthook, logs.speaks_json()) == (sys.__excepthook__, False)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def records() -> Iterator[Records]:
    records, logger = Records(), logging.getLogger("limited")
    logger.addHandler(records)
    yield records
    logger.removeHandler(records)


def test_a_repeated_warning_is_held_back_and_counted(records: Records) -> None:
    now_ns = [0]
    limited = RateLimited(logging.getLogger("limited"), lambda: now_ns[0], interval_s=10)

    logged = [limited.warning("a", "late %d", n) for n in range(3)]
    now_ns[0] = 10 * 10**9
    logged.append(limited.warning("a", "late %d", 9))

    assert logged == [True, False, False, True]
    assert records.texts == ["late 0", "late 9 (2 more of these since the last line)"]


def test_beyond_the_bound_keys_share_one_line(records: Records) -> None:
    limited = RateLimited(logging.getLogger("limited"), lambda: 0, max_keys=1)

    logged = [limited.warning(key, "odd") for key in ("a", "b", "c")]

    assert logged == [True, True, False]
