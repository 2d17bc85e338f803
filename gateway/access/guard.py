"""Who is let in: keys and tokens against what is known of them, from memory. Pure: told the time.

The answer is there at once, but for a token whose key has to be fetched first.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from core.market.timeframe import SECOND_NS
from core.runtime.ports import Clock, MonotonicClock
from gateway.access.addresses import counted_as
from gateway.access.credentials import Shown, ShownKey
from gateway.access.grant import ANYBODY, Caller
from gateway.access.keyring import Keyring
from gateway.access.tokens import TokenExpired, TokenRefused, Tokens, UnknownTokenKey
from gateway.tally import Tally

_MINUTE_S: Final = 60
_MAX_KNOWN: Final = 10_000  # credentials that were right lately; beyond: the oldest are forgotten
HOW: Final = (
    "send APCA-API-KEY-ID and APCA-API-SECRET-KEY, or Authorization: Basic, Bearer KEYID:SECRET "
    "or Bearer TOKEN"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody is not let in; ``retry_after_s`` is not 0 where they tried too often."""

    reason: str
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Unsure:
    """A token's key is not known yet: it may be there once the keys were fetched anew."""

    key_id: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """What it is judged by cannot be read at the moment: no fault of who shows it."""

    reason: str


UNREADABLE: Final = NotYet("the keys that tokens are signed with cannot be read at the moment")
_OVER_TOKEN: Final = "the token is refused: it has expired"
_OVER_KEY: Final = "the API key has expired"
Verdict = Caller | Refusal | Unsure | NotYet


class Guard:
    """Judges what callers show. One task owns it: the gateway's event loop.

    Who failed too often from an address is not looked at any more in that minute, but for
    credentials that were right lately, in any worker, and new ones of who is in: so others behind
    that address stay in.
    """

    def __init__(  # noqa: PLR0913 - what it judges by
        self,
        *,
        fixed: Keyring,
        tokens: Tokens | None = None,
        always: bool = False,
        tally: Tally,
        now_ns: Clock,
        monotonic_ns: MonotonicClock,
        failures_per_minute: int = 0,
        awaits_stored: bool = False,
    ) -> None:
        """*fixed* are the keys of the settings.

        *always*: nobody is let in without credentials, also while no key is known. Attempts that
        fail are counted in *tally*, by address; of *failures_per_minute* 0 sets no limit.
        *awaits_stored*: until :meth:`store` is called, nobody knows whether a key is one.
        """
        self._fixed, self._stored = fixed, Keyring()
        self._tokens, self._always = tokens, always
        self._tally, self.now_ns, self._monotonic_ns = tally, now_ns, monotonic_ns
        self.failures_per_minute, self._awaits_stored = failures_per_minute, awaits_stored
        self._known: dict[bytes, Caller] = {}
        self._right: dict[int, None] = {}  # what was right lately, by its mark in the tally
        self.required = always or len(fixed) > 0 or tokens is not None
        """Must callers show anything? Once keys were stored, for good."""

    def require(self) -> None:
        """There are keys in the database, or were: callers have to show something, for good.

        Where they had not, nobody knows whether a key is one until :meth:`store` is called.
        """
        self._awaits_stored |= not self.required
        self.required = True

    def store(self, stored: Keyring) -> None:
        """The keys of the database are *stored* from now on."""
        self._stored, self._awaits_stored = stored, False
        self._known.clear()

    def forget(self) -> None:
        """The keys of tokens are others now: what was right is looked at anew."""
        self._known.clear()

    def judge(self, shown: Shown | None, address: str, *, is_in: bool = False) -> Verdict:
        """Who shows *shown*, from *address*; *is_in*: somebody who was let in, and renews it."""
        if not self.required:
            return ANYBODY
        if shown is None:
            return Refusal("no API key or token")
        mark = self._mark(shown)
        found: Verdict | None = self._known.get(mark)
        if found is None:
            wait_s = 0 if is_in else self._wait_s(address)
            if wait_s and not self._tally.total(self._right_mark(mark)):
                return Refusal(f"too many failed attempts from {_whence(address)}", wait_s)
            found = self._look_at(shown)
            if isinstance(found, Caller):
                self._remember(mark, found)
            elif isinstance(found, Refusal):
                self.count_failure(address)
        if isinstance(found, Caller) and self.is_over(found):  # it was right: no wrong attempt
            return Refusal(_OVER_TOKEN if found.by_token else _OVER_KEY)
        return found

    def count_failure(self, address: str) -> None:
        """An attempt from *address* was wrong."""
        if self.failures_per_minute:
            mark = self._tally.mark("failed", counted_as(address))
            self._tally.hit(mark, _MINUTE_S, self._monotonic_ns())

    def is_over(self, caller: Caller) -> bool:
        """Has the time of *caller* come?"""
        return 0 < caller.expires_ns <= self.now_ns()

    def renewed(self, caller: Caller) -> Caller | None:
        """What *caller*, let in before, may do by now; None: nobody any more."""
        if not caller.key_id or self.is_over(caller):
            return None if self.required or caller.key_id else caller
        if caller.by_token:
            return caller
        return self._fixed.get(caller.key_id) or self._stored.get(caller.key_id)

    def _look_at(self, shown: Shown) -> Verdict:
        """Who shows *shown*, perhaps somebody whose time is over."""
        if isinstance(shown, ShownKey):
            return self._look_at_key(shown)
        if self._tokens is None:
            return Refusal("tokens are not accepted here")
        try:
            return self._tokens.read(shown.token, self.now_ns())
        except UnknownTokenKey as exc:
            return Unsure(exc.key_id)
        except TokenExpired as exc:
            return exc.caller
        except TokenRefused as exc:
            return Refusal(str(exc))

    def _look_at_key(self, shown: ShownKey) -> Caller | Refusal | NotYet:
        is_fixed = shown.key_id in self._fixed
        if self._awaits_stored and not is_fixed:
            return NotYet("the API keys cannot be read at the moment")
        caller = (self._fixed if is_fixed else self._stored).check(shown.key_id, shown.secret)
        return Refusal("unknown API key or wrong secret") if caller is None else caller

    def _wait_s(self, address: str) -> int:
        """How long nobody new is looked at from *address*; 0: they are."""
        if not self.failures_per_minute:
            return 0
        now_ns = self._monotonic_ns()
        mark = self._tally.mark("failed", counted_as(address))
        if self._tally.seen(mark, _MINUTE_S, now_ns) < self.failures_per_minute:
            return 0
        return _MINUTE_S - now_ns // SECOND_NS % _MINUTE_S

    def _remember(self, mark: bytes, caller: Caller) -> None:
        self._known.pop(mark, None)
        while len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[mark] = caller
        right = self._right_mark(mark)
        if right in self._right:
            return
        self._tally.enter(right, self._monotonic_ns())
        self._right[right] = None
        if len(self._right) > _MAX_KNOWN:
            oldest = next(iter(self._right))
            del self._right[oldest]
            self._tally.leave(oldest)

    def _right_mark(self, mark: bytes) -> int:
        """By what all workers know credentials that were right in one of them."""
        return self._tally.mark("right", mark.hex())

    @staticmethod
    def _mark(shown: Shown) -> bytes:
        """Stands for credentials, in place of them."""
        text = f"{shown.key_id}:{shown.secret}" if isinstance(shown, ShownKey) else shown.token
        raw = text.encode("utf-8", "surrogatepass")
        return hashlib.sha256(raw).digest()


def _whence(address: str) -> str:
    """Where from something was counted that came from *address*."""
    counted = counted_as(address)
    return f"this network ({counted})" if "/" in counted else "this address"
