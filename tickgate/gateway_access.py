"""Who may use the gateway, put together: keys, tokens, limits, proxies and origins."""

import asyncio
import contextlib
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from limits.aio.strategies import FixedWindowRateLimiter

from gateway.access.admission import Access
from gateway.access.follow import KeyFollower
from gateway.access.guard import Guard
from gateway.access.jwks import JwksSource
from gateway.access.keyring import fixed_keys
from gateway.access.proxies import Proxies
from gateway.access.rates import Rates
from gateway.access.tokens import TokenRules, Tokens, secret_key
from gateway.keys import ApiKeys
from gateway.origins import Origins
from gateway.tally import Tally
from gateway.tls import Certificate
from storage.api_keys import ApiKeyStore
from storage.database import Database
from storage.redis import Redis, connect
from storage.shared_counts import SharedCounts
from tickgate.settings import Settings

log = logging.getLogger(__name__)

_COUNTS_TIMEOUT_S: Final = 0.25  # a Redis that is slower does not count requests for a while
_FIRST_LOOK_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What decides, and what keeps its knowledge fresh."""

    access: Access
    keys: KeyFollower
    jwks: JwksSource | None


async def open_gate(
    settings: Settings, stack: AsyncExitStack, *, database: Database, tally: Tally
) -> Gate:
    """The gate, which knows the keys before anybody comes, if the database answers soon."""
    counts = connect(settings.redis_url, command_timeout_s=_COUNTS_TIMEOUT_S)
    stack.push_async_callback(counts.aclose)
    gate = make_gate(settings, database=database, counts=counts, tally=tally)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_LOOK_S):
            await gate.keys.look()
    return gate


def certificate_of(settings: Settings) -> Certificate | None:
    """What the port shows; None: it speaks without TLS.

    Raises:
        CertificateError: it cannot be used.
    """
    if not settings.tls_certificate:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key, oldest=settings.tls_min_version)


def read_anew(certificate: Certificate | None) -> None:
    """What SIGHUP does: take over the *certificate*'s files, which else is looked at in a while."""
    if certificate is None:
        log.info("SIGHUP: there is nothing to read anew, as TLS is off")
    else:
        certificate.refresh(at_once=True)


def make_gate(settings: Settings, *, database: Database, counts: Redis, tally: Tally) -> Gate:
    """The gate by *settings*; keys are in *database*, requests are counted in *counts*."""
    tokens = _tokens(settings)
    guard = Guard(
        fixed=fixed_keys(
            ApiKeys.parse(settings.api_keys).digests,
            requests_per_minute=settings.http_requests_per_min,
        ),
        tokens=tokens,
        always=settings.require_auth,
        tally=tally,
        now_ns=time.time_ns,
        monotonic_ns=time.monotonic_ns,
        failures_per_minute=settings.auth_failures_per_min,
        awaits_stored=True,
    )
    jwks = None
    if tokens is not None and settings.jwt_jwks:
        jwks = JwksSource(settings.jwt_jwks, tokens, guard, monotonic_ns=time.monotonic_ns)
    shared = SharedCounts(counts, namespace=settings.namespace, now_s=time.time)
    access = Access(
        guard,
        rates=Rates(
            FixedWindowRateLimiter(shared),
            tally,
            now_ns=time.time_ns,
            monotonic_ns=time.monotonic_ns,
        ),
        proxies=Proxies(settings.trusted_proxies, header=settings.proxy_header),
        origins=Origins(settings.allowed_origins),
        look_for=jwks.look_for if jwks is not None else None,
        per_address=settings.http_requests_per_min,
    )
    keys = KeyFollower(
        ApiKeyStore(database), guard, requests_per_minute=settings.http_requests_per_min
    )
    return Gate(access=access, keys=keys, jwks=jwks)


def _tokens(settings: Settings) -> Tokens | None:
    if not settings.jwt_shared_key and not settings.jwt_jwks:
        return None
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_s=settings.jwt_leeway_s,
        requests_per_minute=settings.http_requests_per_min,
    )
    fixed = secret_key(settings.jwt_shared_key) if settings.jwt_shared_key else {}
    return Tokens(rules, fixed=fixed)
