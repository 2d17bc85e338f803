"""Scripts that Redis carries out whole: nobody comes between a check and what depends on it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.redis import Argument, Command, Redis, Reply, ResponseError, exchange

Call = tuple[Sequence[str], Sequence[Argument]]
"""Keys, which share a hash tag, and arguments."""


@dataclass(frozen=True)
class Script:
    """Lua source, known to servers by its hash. It names no key that it is not given."""

    source: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash as the server does."""
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False)
        object.__setattr__(self, "sha", digest.hexdigest())

    async def run(self, redis: Redis, calls: Sequence[Call]) -> list[Reply]:
        """One reply per call; a refused one's is its ``ResponseError``.

        A server that does not know the script, a new master say, did nothing, and is sent it.

        Raises:
            StreamUnavailable: as :func:`storage.redis.exchange`.
        """
        replies = await exchange(redis, [self._command("EVALSHA", self.sha, c) for c in calls])
        unknown = [
            at
            for at, reply in enumerate(replies)
            if isinstance(reply, ResponseError) and reply.kind == "NOSCRIPT"
        ]
        if unknown:
            again = [self._command("EVAL", self.source, calls[at]) for at in unknown]
            for at, reply in zip(unknown, await exchange(redis, again), strict=True):
                replies[at] = reply
        return replies

    def _command(self, name: str, script: str, call: Call) -> Command:
        keys, arguments = call
        return (name, script, len(keys), *keys, *arguments)
