"""What ingest refuses, in words: feed specs, venue frames, replay files, polled answers."""

from core.market.errors import TickgateError


class SpecError(TickgateError):
    """A feed spec cannot be run: which part, what was given, what is accepted."""

    def __init__(self, spec: str, part: str, given: str, accepted: str) -> None:
        self.spec, self.part, self.given, self.accepted = spec, part, given, accepted
        super().__init__(spec, part, given, accepted)

    def __str__(self) -> str:
        return (
            f"feed {self.spec[:200]!r}: {self.part} was {self.given[:80]!r}, "
            f"accepted: {self.accepted} (docs/feeds.md has an example of each feed)"
        )


class ParseError(TickgateError):
    """A frame, or one trade of it, is not what the venue documents; the rest of it is kept."""

    def __init__(self, venue: str, reason: str, excerpt: str) -> None:
        self.venue, self.reason, self.excerpt = venue, reason, excerpt[:120]
        super().__init__(venue, reason, self.excerpt)

    def __str__(self) -> str:
        return f"{self.venue} sent what its protocol does not allow: {self.reason}: {self.excerpt}"


class ConnectionLost(TickgateError):
    """A venue connection ended or went silent; the session connects again."""

    def __init__(self, venue: str, reason: str) -> None:
        self.venue, self.reason = venue, reason
        super().__init__(venue, reason)

    def __str__(self) -> str:
        return f"{self.venue} connection lost: {self.reason}"


class PollError(TickgateError):
    """One pull of an endpoint failed; ``retryable`` tells whether asking again at once can help.

    ``busy_s``: it asked to be left alone for so long.
    """

    def __init__(
        self, url: str, reason: str, *, retryable: bool, busy_s: float | None = None
    ) -> None:
        self.url, self.reason, self.retryable, self.busy_s = url, reason, retryable, busy_s
        super().__init__(url, reason)

    def __str__(self) -> str:
        return f"GET {self.url} failed: {self.reason}"


class ReplayFileError(TickgateError):
    """A replay file cannot be read at all; single bad rows are quarantined instead."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(path, reason)

    def __str__(self) -> str:
        return f"replay file {self.path}: {self.reason}"


class RowError(TickgateError):
    """One row of a replay file is no trade; it is quarantined with its line number."""

    def __init__(self, line: int, reason: str, text: str) -> None:
        self.line, self.reason, self.text = line, reason, text[:200]
        super().__init__(line, reason, self.text)

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {self.text}"


class HistoryError(TickgateError):
    """A venue's history of trades did not answer a question.

    ``busy``: it asked to be left alone, for ``retry_after_s`` (None: it did not say how long).
    ``retryable``: asking again can help.
    """

    def __init__(
        self,
        venue: str,
        reason: str,
        *,
        retryable: bool = True,
        busy: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        self.venue, self.reason, self.retryable = venue, reason, retryable
        self.busy, self.retry_after_s = busy, retry_after_s
        super().__init__(venue, reason)

    def __str__(self) -> str:
        return f"the trade history of {self.venue}: {self.reason}"
