"""Errors of the stores: which server or stream, what was expected, what to do."""

from core.market.errors import TickgateError


class StreamUnavailable(TickgateError):
    """Redis is away, does not answer in time, or refuses a command."""

    def __init__(self, server: str, reason: str) -> None:
        self.server, self.reason = server, reason
        super().__init__(server, reason)

    def __str__(self) -> str:
        reason = self.reason.rstrip(".")
        return f"Redis at {self.server}: {reason}; see that it runs and redis_url is right"


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
    """A newer owner of a shard has written: what this one wants to write is refused."""

    def __init__(self, shard: int, *, token: int, stored_token: int) -> None:
        self.shard, self.token, self.stored_token = shard, token, stored_token
        super().__init__(shard, token, stored_token)

    def __str__(self) -> str:
        return (
            f"shard {self.shard}: token {self.token} is stale, a flush by token "
            f"{self.stored_token} is stored; reload the checkpoint or stop this aggregator"
        )


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
