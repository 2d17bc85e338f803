"""Errors of the stores: which server or stream, what was expected, what to do."""

from collections.abc import Mapping

from core.market.errors import TickgateError


class StreamUnavailable(TickgateError):
    """Redis is away, does not answer in time, or refuses a command."""

    def __init__(self, server: str, reason: str) -> None:
        self.server, self.reason = server, reason
        super().__init__(server, reason)

    def __str__(self) -> str:
        reason = self.reason.rstrip(".")
        return f"Redis at {self.server}: {reason}; see that it runs and redis_url is right"


class MemoryFull(StreamUnavailable):
    """Redis is at its ``maxmemory``, and refuses what would take more."""

    def __str__(self) -> str:
        advice = "give it more maxmemory, or lower stream_max_bytes"
        return f"Redis at {self.server}: {self.reason.rstrip('.')}; {advice}"


class LeaseHeld(TickgateError):
    """Another process publishes this feed; ``ran_out``: it has not been heard of for a while."""

    def __init__(self, feed: str, owner: str, *, ran_out: bool) -> None:
        self.feed, self.owner, self.ran_out = feed, owner, ran_out
        super().__init__(feed, owner, ran_out)

    def __str__(self) -> str:
        heard = ", which was not heard of lately" if self.ran_out else ""
        return f"feed {self.feed} is published by {_process(self.owner)}{heard}; standing by"


class LeaseLost(TickgateError):
    """Another process has taken over a feed: what this one still wants to publish is refused."""

    def __init__(self, feed: str, owner: str = "") -> None:
        self.feed, self.owner = feed, owner
        super().__init__(feed, owner)

    def __str__(self) -> str:
        who = _process(self.owner) if self.owner else "another process"
        return f"feed {self.feed} was taken over by {who}; this process stands by"


class StaleOwner(TickgateError):
    """Shards have newer owners: what this one wants to write or publish of them is refused.

    ``stale`` has, by shard, the token that was refused and the newest one.
    """

    def __init__(self, stale: Mapping[int, tuple[int, int]]) -> None:
        self.stale = dict(stale)
        super().__init__(self.stale)

    def __str__(self) -> str:
        shards = ", ".join(
            f"{shard} (token {token}, now {newest})"
            for shard, (token, newest) in sorted(self.stale.items())
        )
        return f"another aggregator owns shard {shards}; what this one had of it is dropped"


class DatabaseUnavailable(TickgateError):
    """PostgreSQL is away, or did not answer in time."""

    def __init__(self, server: str, reason: str) -> None:
        self.server, self.reason = server, reason
        super().__init__(server, reason)

    def __str__(self) -> str:
        advice = "see that it runs and database_url is right"
        return f"PostgreSQL at {self.server}: {self.reason}; {advice}"


class SchemaError(TickgateError):
    """The database's schema is not the one that this program was written for."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"database schema: {self.reason}"


class TickLogError(TickgateError):
    """Stored ticks cannot be read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"tick log: {self.reason}"


def _process(owner: str) -> str:
    """Host and process id of an owner."""
    return owner.rpartition(":")[0] or owner
