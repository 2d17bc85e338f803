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


class StreamConflict(TickgateError):
    """Somebody else appends to a stream that has one writer."""

    def __init__(self, key: str, entry_id: str) -> None:
        self.key, self.entry_id = key, entry_id
        super().__init__(key, entry_id)

    def __str__(self) -> str:
        return (
            f"stream {self.key}: entry {self.entry_id} was refused and is not there, so another "
            "writer appends to it; run each feed in one ingest process only"
        )


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
