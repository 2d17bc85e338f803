"""Checks that a subscriber gets a symbol's trades without a hole, once and in order. Pure."""

from typing import Final

import msgspec

_KEPT: Final = 20  # findings told in words; the rest are only counted


class Finding(msgspec.Struct, frozen=True):
    """Trade ids that did not follow each other."""

    subscriber: str
    symbol: str
    expected: int
    received: int

    def __str__(self) -> str:
        if self.received > self.expected:
            what = f"{self.received - self.expected} trades missing"
        else:
            what = "a trade came twice or late"
        return (
            f"{self.subscriber} {self.symbol}: {what}, expected id {self.expected}, "
            f"was {self.received}"
        )


class SequenceChecker:
    """The ids of one subscriber; for feeds whose ids count up by one per symbol, as the sim's.

    The first trade of a symbol sets where its count begins.
    """

    def __init__(self, subscriber: str) -> None:
        self.received = 0
        self.missing = 0  # trades in holes
        self.repeated = 0  # trades at or below an id that was already there
        self.findings: list[Finding] = []
        self._subscriber = subscriber
        self._next: dict[str, int] = {}

    def see(self, symbol: str, trade_id: int) -> Finding | None:
        """Take one trade in; what is wrong with its id, or None."""
        self.received += 1
        expected = self._next.get(symbol, trade_id)
        if trade_id == expected:
            self._next[symbol] = trade_id + 1
            return None
        if trade_id > expected:
            self.missing += trade_id - expected
            self._next[symbol] = trade_id + 1
        else:
            self.repeated += 1
        finding = Finding(self._subscriber, symbol, expected, trade_id)
        if len(self.findings) < _KEPT:
            self.findings.append(finding)
        return finding
