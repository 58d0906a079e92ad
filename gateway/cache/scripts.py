"""Scripts in Lua by which Redis stores responses, each in one call.

Of a response there are: its hash, `e:NAME`, in `r:RESOURCE` the names of all of its resource, in `ends` its end, in
`sizes` its bytes, and in `total` those of all together. Times are in milliseconds, by the clock of Redis.
"""

from __future__ import annotations

from gateway.outside.redis_scripts import Script

_REMOVE = """
local function remove(prefix, name, ends, sizes, total)
  local size = tonumber(redis.call('HGET', sizes, name) or '0')
  local fields = redis.call('HLEN', prefix .. name)
  redis.call('UNLINK', prefix .. name)
  redis.call('ZREM', ends, name)
  redis.call('HDEL', sizes, name)
  if size > 0 then redis.call('DECRBY', total, size) end
  return math.max(0, fields - 3)
end
"""

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

FIND = Script(
    _NOW
    + """
-- KEYS: the hash. ARGV: the variant.
local found = redis.call('HMGET', KEYS[1], 'vary', ARGV[1])
return {found[1] or '', found[2], now}
"""
)
"""The fields in Vary, the response (or nothing), and the time."""

KEEP = Script(
    _REMOVE
    + _NOW
    + """
-- KEYS: the hash, the resource's set, ends, sizes, total.
-- ARGV: variant, response, vary, milliseconds, most bytes, most variants, resource, selector, prefix of hashes, name.
local hash, set, ends, sizes, total = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, name, most = ARGV[9], ARGV[10], tonumber(ARGV[6])
if redis.call('SCARD', set) > most then
  for _, other in ipairs(redis.call('SMEMBERS', set)) do remove(prefix, other, ends, sizes, total) end
  redis.call('UNLINK', set)
end
local vary = redis.call('HGET', hash, 'vary')
if (vary and vary ~= ARGV[3]) or redis.call('HLEN', hash) > most + 2 then remove(prefix, name, ends, sizes, total) end
local value = string.format('%.0f', now) .. ' ' .. ARGV[2]
local grown = #value + 100 - redis.call('HSTRLEN', hash, ARGV[1])
if redis.call('EXISTS', hash) == 0 then grown = grown + #ARGV[7] + #ARGV[8] + 400 end
redis.call('HSET', hash, 'vary', ARGV[3], 'resource', ARGV[7], 'selector', ARGV[8], ARGV[1], value)
local left = math.max(redis.call('PTTL', hash), tonumber(ARGV[4]))
redis.call('PEXPIRE', hash, left)
redis.call('SADD', set, name)
redis.call('PEXPIRE', set, math.max(redis.call('PTTL', set), left))
redis.call('ZADD', ends, now + left, name)
redis.call('HINCRBY', sizes, name, grown)
local size = redis.call('INCRBY', total, grown)
for _, over in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do
  remove(prefix, over, ends, sizes, total)
end
local evicted = 0
size = tonumber(redis.call('GET', total))
while size > tonumber(ARGV[5]) do
  local first = redis.call('ZRANGE', ends, 0, 0)[1]
  if not first then redis.call('SET', total, 0) break end
  evicted = evicted + remove(prefix, first, ends, sizes, total)
  size = tonumber(redis.call('GET', total))
end
return {size, evicted}
"""
)
"""Keeps a response, and removes what is over and what there is no room for: the bytes of all, and how many were removed
for want of room."""

DROP = Script(
    _REMOVE
    + """
-- KEYS: the resource's set, ends, sizes, total. ARGV: prefix of hashes.
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1])) do remove(ARGV[1], name, KEYS[2], KEYS[3], KEYS[4]) end
return redis.call('UNLINK', KEYS[1])
"""
)
"""Removes all of one resource."""

LIST = Script(
    """
-- KEYS: ends. ARGV: prefix of hashes, from where on, how many.
local found = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1)) do
  local said = redis.call('HMGET', ARGV[1] .. name, 'resource', 'selector')
  found[#found + 1] = {name, said[1], said[2]}
end
return found
"""
)
"""Name, resource and selector of some hashes."""

REMOVE = Script(
    _REMOVE
    + """
-- KEYS: ends, sizes, total. ARGV: prefix of hashes, names.
local removed = 0
for index = 2, #ARGV do removed = removed + remove(ARGV[1], ARGV[index], KEYS[1], KEYS[2], KEYS[3]) end
return {removed}
"""
)
"""Removes these; how many responses that were."""
