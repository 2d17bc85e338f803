"""Readiness: which dependencies a role waits for, since when and why. Pure: told the time."""

from collections import Counter

import msgspec

from core.runtime.ports import Clock


class DependencyState(msgspec.Struct, frozen=True):
    """One dependency as `/readyz` shows it; ``since_ns`` is when ``ok`` last changed."""

    ok: bool
    since_ns: int
    reason: str = ""


class Readiness:
    """The dependencies of one role. One task reports each; `/readyz` and the log read them."""

    def __init__(self, now_ns: Clock, *dependencies: str) -> None:
        """Every one of *dependencies* starts as not ready, reason ``starting``."""
        self._now_ns = now_ns
        self._states = {name: DependencyState(False, now_ns(), "starting") for name in dependencies}
        self._falls: Counter[str] = Counter()

    def falls(self, dependency: str) -> int:
        """How often *dependency* went away so far: ask before a call, for `up` after it."""
        return self._falls[dependency]

    def up(self, dependency: str, *, falls: int | None = None) -> bool:
        """Report that *dependency* works; True when that is news.

        With *falls* as it was before the call that succeeded, nothing is reported when the
        dependency went away since: the last answer of a server that was killed may come after
        the first error.
        """
        if falls is not None and falls != self._falls[dependency]:
            return False
        return self._set(dependency, ok=True, reason="")

    def down(self, dependency: str, reason: str) -> bool:
        """Report that *dependency* is away, in one sentence; True when that is news."""
        return self._set(dependency, ok=False, reason=reason)

    @property
    def ready(self) -> bool:
        return all(state.ok for state in self._states.values())

    def states(self) -> dict[str, DependencyState]:
        """A copy, by name of dependency."""
        return dict(self._states)

    def _set(self, dependency: str, *, ok: bool, reason: str) -> bool:
        before = self._states.get(dependency)
        changed = before is None or before.ok != ok
        since_ns = self._now_ns() if changed or before is None else before.since_ns
        self._falls[dependency] += changed and not ok
        self._states[dependency] = DependencyState(ok, since_ns, reason)
        return changed or (before is not None and before.reason == "starting")
