"""Lease: which process may publish a feed, and the token that keeps all others from it.

The lease decides who should write; that nobody else can is decided by each stream's fence, which
holds the newest token and is looked at in the same step that appends.
"""

import os
import socket
from pathlib import Path
from typing import Final

from storage.errors import LeaseHeld, LeaseLost
from storage.redis import Redis, Reply, ResponseError, refusal
from storage.scripts import Script

TTL_S: Final = 2.0  # without a renewal the lease runs out
RENEW_S: Final = 0.6  # so that two renewals may fail
_EXPIRED: Final = "*"

# Who may write has to be settled for room to be made: a full server takes these few bytes.
# Tokens grow even when the server lost its data: none is below the server's clock in µs.
_ACQUIRE: Final = Script("""#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'owner', 'token', 'until')
local owner, token, till = held[1] or '', tonumber(held[2] or '0'), tonumber(held[3] or '0')
if not held[2] and ARGV[4] ~= '' and ARGV[3] ~= '*' then
  return {'0', ARGV[4], -1}  -- the server forgot its owner, who will be back
end
local mine = owner == '' or owner == ARGV[1] or owner == ARGV[3]
if not mine and not (ARGV[3] == '*' and till < now) then
  return {'0', owner, till - now}
end
token = string.format('%.0f', math.max(token + 1, time[1] * 1000000 + time[2]))
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', token, 'until',
           string.format('%.0f', now + ARGV[2]))
return {token, '', 0}
""")
_RENEW: Final = Script("""#!lua flags=allow-oom
local time = redis.call('TIME')
local held = redis.call('HMGET', KEYS[1], 'owner', 'token')
if tonumber(held[2] or '0') > tonumber(ARGV[2]) then
  return held[1] or ''
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', ARGV[2], 'until',
           string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]))
return false
""")
_RELEASE: Final = Script("""#!lua flags=allow-oom
local held = redis.call('HMGET', KEYS[1], 'owner', 'token')
if held[1] == ARGV[1] and held[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'owner', '')
end
return 0
""")


class Lease:
    """One process's claim on one feed. A lease that ran out is still its owner's until taken."""

    def __init__(self, redis: Redis, *, key: str, feed: str, owner: str = "") -> None:
        """*owner* names this process; by default by host and process id."""
        self.token = 0
        """The fencing token, > 0 once acquired."""
        self.feed, self.owner = feed, owner or process_owner()
        self._redis, self._key = redis, key
        self._seen = ""  # who had it when we last asked

    async def acquire(self, *, expired: bool = False) -> None:
        """Take the lease if it is free, ours, or its owner's process is gone from this machine.

        Args:
            expired: take it also when it ran out. The caller has seen it run out for long enough
                that an owner who only lost sight of Redis would have renewed it.

        Raises:
            LeaseHeld: somebody has it.
            StreamUnavailable: Redis is away or refuses.
        """
        over = _EXPIRED if expired else ""
        token, owner, left_ms = await self._try(over)
        if not token and is_gone(owner):
            token, owner, left_ms = await self._try(_EXPIRED if left_ms < 0 else owner)
        self.token, self._seen = token, owner
        if not token:
            raise LeaseHeld(self.feed, owner, ran_out=left_ms < 0)

    async def renew(self) -> None:
        """Keep the lease for another :data:`TTL_S`.

        Raises:
            LeaseLost: another one has taken it.
            StreamUnavailable: Redis is away or refuses; whether it was renewed is unknown.
        """
        taken_by = await self._call(_RENEW, self.token, int(TTL_S * 1000))
        if taken_by is not None:
            raise LeaseLost(self.feed, taken_by.decode())

    async def release(self) -> None:
        """Give the lease up, so that another may have it at once.

        Raises:
            StreamUnavailable: Redis is away or refuses; the lease runs out by itself.
        """
        await self._call(_RELEASE, self.token)

    async def _try(self, over: str) -> tuple[int, str, int]:
        """Token, or 0; then the owner, and how long the lease is still good."""
        ttl_ms = int(TTL_S * 1000)
        token, owner, left_ms = await self._call(_ACQUIRE, ttl_ms, over, self._seen)
        return int(token), owner.decode(), left_ms

    async def _call(self, script: Script, *arguments: str | int) -> Reply:
        (reply,) = await script.run(self._redis, [((self._key,), (self.owner, *arguments))])
        if isinstance(reply, ResponseError):
            raise refusal(self._redis, reply)
        return reply


def process_owner() -> str:
    """This process: host, process id, and the space of process ids that it counts in."""
    return f"{socket.gethostname()}:{os.getpid()}:{_pid_space()}"


def is_gone(owner: str) -> bool:
    """Did the process named by :func:`process_owner` run here, and is no more?"""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if (host, owner.rpartition(":")[2]) != (socket.gethostname(), _pid_space()):
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (ValueError, PermissionError):
        return False
    return False


def _pid_space() -> str:
    """Process ids are compared within it only: those of one namespace, since one boot."""
    try:
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:  # no Linux: what is not known is not compared
        return f"unknown-{os.getpid()}"
    return f"{space}-{boot[:8]}"  # a machine's first namespace has the same number everywhere
