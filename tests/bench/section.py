"""What a benchmark has to say: one section of docs/benchmarks.md."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """*text* is Markdown below the heading *title*; *figures* is what a chart may be drawn from.

    ``sound`` is False when something was lost, repeated or wrong: then the run has failed. Slow is
    not wrong.
    """

    title: str
    text: str
    figures: dict[str, Any]
    sound: bool = True


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
