"""The real clock, for tests that drive real servers."""

from time import time_ns as wall_ns  # noqa: TID251 - a test is a composition root

__all__ = ["wall_ns"]
