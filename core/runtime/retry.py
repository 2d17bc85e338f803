"""Retry policies: capped exponential back-off with full jitter, and waiting out a dependency.

Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_when_event_set
from tenacity.wait import wait_random_exponential

from core.market.errors import TickgateError
from core.runtime.readiness import Readiness

log = logging.getLogger(__name__)
T = TypeVar("T")
_FIRST_S: Final = 0.2
_CAP_S: Final = 5.0  # a dependency that is back is noticed within this time
PATIENCE_S: Final = 3.0  # a call without an answer for so long shows in /readyz and the log
_CAPS_S: Final = {"redis": 1.0}  # a failover takes seconds, and all readers wait for its end
_WORDS: Final = {"redis": "Redis", "database": "the database"}  # as every role's log has them


def full_jitter(*, first_s: float, cap_s: float) -> wait_random_exponential:
    """Wait uniformly in ``[0, min(cap_s, first_s * 2**(attempt - 1))]`` seconds."""
    return wait_random_exponential(multiplier=first_s, max=cap_s)


async def wait_out(
    call: Callable[[], Awaitable[T]],
    *,
    dependency: str,
    readiness: Readiness,
    away: type[TickgateError] | tuple[type[TickgateError], ...],
    stop: asyncio.Event,
    patience_s: float = PATIENCE_S,
) -> T:
    """Make *call* until the dependency answers; readiness and the log say what it waits for.

    The log says so once, and again for an error of another type: a server is there, but the
    schema is not. A call that takes more than *patience_s* counts as a dependency that is away
    until it returns: it may hang, in a server that was stopped or behind a lock. A success of a
    call that was under way when another one found the dependency gone says nothing of it.

    Args:
        call: made again after each error of type *away*; any other error leaves at once.
        dependency: its name in *readiness*.
        readiness: told when the dependency goes and comes.
        away: what *call* raises while the dependency is away.
        stop: once set, the next failure is the last.
        patience_s: how long a call may take before readiness and the log say that it is late.

    Raises:
        TickgateError: of type *away*, and *stop* is set.
    """

    told: type[BaseException] | None = None
    falls = 0  # as they were when the call was made, and that of the call itself
    named = _WORDS.get(dependency, dependency)
    loop = asyncio.get_running_loop()

    def tell_late() -> None:
        nonlocal falls
        reason = f"no answer for {patience_s:g} s to what is asked of {named}; still waiting"
        if readiness.down(dependency, reason):
            falls += 1
            log.warning("waiting for %s: no answer for %g s", named, patience_s)

    def tell(state: RetryCallState) -> None:
        nonlocal told
        error = state.outcome.exception() if state.outcome else None
        before, told = told, type(error) if error else None
        if readiness.down(dependency, str(error)) or (before and before is not told):
            log.warning("waiting for %s: %s", named, error)

    attempts = AsyncRetrying(
        retry=retry_if_exception_type(away),
        wait=full_jitter(first_s=_FIRST_S, cap_s=_CAPS_S.get(dependency, _CAP_S)),
        stop=stop_when_event_set(stop),  # type: ignore[arg-type]  # only is_set() is called
        before_sleep=tell,
        reraise=True,
    )

    async def once() -> T:
        nonlocal falls
        falls = readiness.falls(dependency)
        late = loop.call_later(patience_s, tell_late)
        try:
            return await call()
        finally:
            late.cancel()

    result: T = await attempts(once)
    if readiness.up(dependency, falls=falls):
        log.info("%s is there", named)
    return result
