"""A gateway that wants a key: `KEY` with the secret `s3cret`."""

import hashlib
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.access.jwks import JwksSource
from gateway.access.tokens import TokenRules, Tokens
from gateway.keys import ApiKeys
from tests.access import access_of
from tests.integration.gateway.rig import Rig, gateway


@asynccontextmanager
async def guarded(redis_url: str) -> AsyncIterator[Rig]:
    keys = ApiKeys({"KEY": hashlib.sha256(b"s3cret").digest()})
    async with gateway(redis_url, f"test-{uuid.uuid4().hex[:12]}", keys=keys) as rig:
        yield rig


@asynccontextmanager
async def blind(redis_url: str, jwks: Path) -> AsyncIterator[Rig]:
    """A gateway that wants a token, and looks for its key in the file *jwks* each time."""
    tokens = Tokens(TokenRules())
    access = access_of(tokens=tokens, failures_per_minute=1)
    hours_ns = itertools.count(0, 3_600 * 10**9)
    source = JwksSource(str(jwks), tokens, access.guard, monotonic_ns=lambda: next(hours_ns))
    namespace = f"test-{uuid.uuid4().hex[:12]}"
    async with gateway(redis_url, namespace, access=access, jwks=source) as rig:
        yield rig
