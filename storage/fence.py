"""Scripts on a stream and its fence: only the newest token appends, and only where it left off.

A fence is a hash beside its stream: ``token`` of the newest writer, ``last``, the id of the
stream's newest entry. Both keys are replicated in one order, so a new master's fence tells how
much of the stream it has.
"""

from typing import Final

from storage.scripts import Script

STALE: Final = "STALE"  # a newer token was here
BEHIND: Final = "BEHIND"  # the stream does not end where the writer had left it

APPEND: Final = Script("""
local fence = redis.call('HMGET', KEYS[1], 'token', 'last')
if tonumber(fence[1] or '0') > tonumber(ARGV[1]) then
  return redis.error_reply('STALE a newer writer has token ' .. fence[1])
end
if (fence[2] or '0-0') ~= ARGV[3] then
  return redis.error_reply('BEHIND the stream ends at ' .. (fence[2] or '0-0'))
end
local stored, last = 0, nil
for at = 4, #ARGV, 2 do
  local reply = redis.pcall('XADD', KEYS[2], 'MINID', '~', ARGV[2], ARGV[at], 'b', ARGV[at + 1])
  if reply['err'] then
    if stored == 0 then return reply end
    break
  end
  stored, last = stored + 1, ARGV[at]
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'last', last)
return stored
""")
"""Keys: fence, stream. Arguments: token, MINID, id of the entry before; then ids and payloads."""

TAKE: Final = Script("""#!lua flags=allow-oom
local token = redis.call('HGET', KEYS[1], 'token')
if tonumber(token or '0') > tonumber(ARGV[1]) then
  return redis.error_reply('STALE a newer writer has token ' .. token)
end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'last', newest and newest[1] or '0-0')
return newest or false
""")
"""Keys: fence, stream. Argument: token. Returns the newest entry, or nil.

A full server takes these few bytes: whoever takes a stream over may then make room in it."""
