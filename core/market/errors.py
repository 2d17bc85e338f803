"""Errors that the project raises on purpose: facts as attributes, one sentence, the remedy last."""


class TickgateError(Exception):
    """Base of every error this project raises on purpose."""


class SymbolError(TickgateError):
    """A symbol is ill-formed, or a bare name is carried by several venues."""

    def __init__(self, text: str, reason: str) -> None:
        self.text, self.reason = text, reason
        super().__init__(text, reason)

    def __str__(self) -> str:
        return f"symbol {self.text[:60]!r}: {self.reason}"


class TimeframeError(TickgateError, ValueError):
    """A timeframe that is not offered."""

    def __init__(self, text: str, accepted: tuple[str, ...]) -> None:
        self.text, self.accepted = text, accepted
        super().__init__(text, accepted)

    def __str__(self) -> str:
        return f"timeframe {self.text[:60]!r}: expected one of {', '.join(self.accepted)}"


class BlockError(TickgateError):
    """A stream entry is not a block of ticks that this version can read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"not a readable block of ticks: {self.reason}"
