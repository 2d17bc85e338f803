"""A gateway that wants a key: `KEY` with the secret `s3cret`."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.keys import ApiKeys
from tests.integration.gateway.rig import Rig, gateway


@asynccontextmanager
async def guarded(redis_url: str) -> AsyncIterator[Rig]:
    keys = ApiKeys({"KEY": hashlib.sha256(b"s3cret").digest()})
    async with gateway(redis_url, f"test-{uuid.uuid4().hex[:12]}", keys=keys) as rig:
        yield rig
