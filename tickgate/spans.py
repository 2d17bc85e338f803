"""A span of time on the command line: ``--start`` and ``--end``, read the same way everywhere."""

from typing import Final, NamedTuple

from gateway.http.times import parse_time_ns
from tickgate.arguments import Arguments, Option, UsageError

START, END = "--start", "--end"
OPTIONS: Final = (
    Option(START, "TIME", "where the span begins, as 2024-03-12T10:37:00Z, or a date"),
    Option(END, "TIME", "where it ends, itself not included"),
)


class Span(NamedTuple):
    """From ``start_ns`` up to ``end_ns``, which is later and not included; UNIX nanoseconds."""

    start_ns: int
    end_ns: int


def read_span(arguments: Arguments) -> Span:
    """The span that the command line names.

    Raises:
        UsageError: an end of it is no time, or it holds none.
    """
    span = Span(_read(arguments, START), _read(arguments, END))
    if span.start_ns >= span.end_ns:
        raise UsageError(f"{END}: expected a time after {START}")
    return span


def _read(arguments: Arguments, flag: str) -> int:
    text = arguments.options[flag]
    try:
        return parse_time_ns(text)
    except ValueError as exc:
        raise UsageError(
            f"{flag}: expected a time such as 2024-03-12T10:37:00Z, or a date, was {text!r}: {exc}"
        ) from exc
