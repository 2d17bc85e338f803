"""The way in to a gateway under test."""

import time
from collections.abc import Callable
from typing import Any

from limits.aio.strategies import FixedWindowRateLimiter

from gateway.access.admission import Access
from gateway.access.guard import Guard
from gateway.access.keyring import Keyring, fixed_keys
from gateway.access.rates import Rates
from gateway.access.tokens import Tokens
from gateway.keys import ApiKeys
from gateway.tally import Tally
from gateway.tally_memory import private
from tests.clocks import wall_ns


def access_of(
    keys: ApiKeys | Keyring | None = None,
    *,
    requests_per_minute: int = 100,
    tokens: Tokens | None = None,
    always: bool = False,
    shared: FixedWindowRateLimiter | None = None,
    tally: Tally | None = None,
    now_ns: Callable[[], int] = wall_ns,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    failures_per_minute: int = 0,
    awaits_stored: bool = False,
    **options: Any,
) -> Access:
    """Lets in who shows one of *keys*, or everybody where there are none."""
    counts = tally or private()
    if not isinstance(keys, Keyring):
        digests = keys.digests if keys is not None else {}
        keys = fixed_keys(digests, requests_per_minute=requests_per_minute)
    guard = Guard(
        fixed=keys,
        tokens=tokens,
        always=always,
        tally=counts,
        now_ns=now_ns,
        monotonic_ns=monotonic_ns,
        failures_per_minute=failures_per_minute,
        awaits_stored=awaits_stored,
    )
    rates = Rates(shared, counts, now_ns=now_ns, monotonic_ns=monotonic_ns)
    return Access(guard, rates=rates, **options)
