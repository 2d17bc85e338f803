"""How a stream's connection stands. Pure."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class State:
    """How the connection stands; ``retry_s`` is when the next attempt comes, ``reason`` why."""

    phase: Literal["connecting", "live", "lost", "closed"] = "connecting"
    reason: str = ""
    attempt: int = 0
    retry_s: float = 0.0
