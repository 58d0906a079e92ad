"""Redis scripts of holds, each one call, with Redis' own clock.

Each window has, beside the counter of what is used (as `COUNT` in `scripts.py` keeps it), a hash of its holds, by name:
the amount, or `d` where it is settled; and `held`, the sum of the amounts. A sorted set has when each may be forgotten.
What is settled is remembered for a while, because a call whose answer is lost is made once more.
"""

from __future__ import annotations

from typing import Final

from gateway.outside.redis_scripts import Script

KEYS: Final = 4  # of a window: what is used, what was forgiven of it, its holds, and when they expire
SETTLED_SECONDS: Final = 120  # for which it is remembered that a hold is settled

_STATE = """
local now = tonumber(redis.call('TIME')[1])
local most = 9007199254740991  -- up to which numbers of Lua are exact

-- What is no number of ours is as good as nothing: a value of another program must not fail what is asked.
local function number(text)
  if type(text) ~= 'string' or not string.match(text, '^%d+$') or #text > 16 then return nil end
  return tonumber(text)
end

local function text(value) return string.format('%.0f', value) end

local function only(key, wanted)
  local kind = redis.call('TYPE', key).ok
  if kind ~= wanted and kind ~= 'none' then redis.call('DEL', key) end
end

local function held(holds) return number(redis.call('HGET', holds, 'held')) or 0 end

local function drop(holds, expiries, name)
  local amount = number(redis.call('HGET', holds, 'h' .. name))
  if amount then redis.call('HSET', holds, 'held', text(math.max(0, held(holds) - amount))) end
  redis.call('HDEL', holds, 'h' .. name)
  redis.call('ZREM', expiries, name)
end

local function prune(holds, expiries)
  only(holds, 'hash')
  only(expiries, 'zset')
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, 100)) do
    drop(holds, expiries, name)
  end
  if redis.call('EXISTS', expiries) == 0 then redis.call('DEL', holds) end
end

local function keep(holds, expiries, name, value, seconds, gone)
  redis.call('HSET', holds, 'h' .. name, value)
  redis.call('ZADD', expiries, now + seconds, name)
  local at = math.max(tonumber(gone), now + seconds)
  redis.call('EXPIREAT', holds, text(at))
  redis.call('EXPIREAT', expiries, text(at))
end
"""

RESERVE = Script(
    _STATE
    + """
-- KEYS: four of each window. ARGV: the name of the hold, its seconds, 1 where it is placed without asking, or goes on
-- for so long if it is there; then for each window its limit, the amount, 1 where it refuses, what the replica knew to
-- be used, what of that to be forgiven, and when all may go. Answers 1 or 0 (it fits), then for each what is used, what
-- was forgiven, and what others hold.
local name, seconds, placed = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local answer, fits = {1}, true
for i = 1, #KEYS / 4 do
  local a, k = 3 + (i - 1) * 6, (i - 1) * 4
  local holds, expiries = KEYS[k + 3], KEYS[k + 4]
  prune(holds, expiries)
  local used = math.max(number(redis.pcall('GET', KEYS[k + 1])) or 0, tonumber(ARGV[a + 4]))
  local forgiven = math.max(number(redis.pcall('GET', KEYS[k + 2])) or 0, tonumber(ARGV[a + 5]))
  local mine = redis.call('HGET', holds, 'h' .. name)
  local others = held(holds) - (number(mine) or 0)
  local total = math.max(0, used - forgiven) + others + ARGV[a + 2]
  if not mine and ARGV[a + 3] == '1' and total > tonumber(ARGV[a + 1]) then fits = false end
  answer[#answer + 1] = used
  answer[#answer + 1] = forgiven
  answer[#answer + 1] = others
end
if not fits and not placed then
  answer[1] = 0
  return answer
end
for i = 1, #KEYS / 4 do
  local a, k = 3 + (i - 1) * 6, (i - 1) * 4
  local holds, expiries = KEYS[k + 3], KEYS[k + 4]
  local mine = redis.call('HGET', holds, 'h' .. name)
  if not mine then
    mine = text(tonumber(ARGV[a + 2]))
    redis.call('HSET', holds, 'held', text(math.min(most, held(holds) + ARGV[a + 2])))
  end
  if mine ~= 'd' then keep(holds, expiries, name, mine, seconds, ARGV[a + 6]) end
end
return answer
""",
    lambda keys: 1 + keys // KEYS * 3,
)
"""Places a hold in all its windows, or in none; or has one that is there last longer."""

SETTLE = Script(
    _STATE
    + """
-- KEYS: four of each window. ARGV: the name of the hold, and for how many seconds it is remembered; then for each
-- window what was used, what the replica knew to be used and to be forgiven, and when all may go. Answers for each what
-- is used and forgiven then.
local name, seconds = ARGV[1], tonumber(ARGV[2])
local answer = {}
for i = 1, #KEYS / 4 do
  local a, k = 2 + (i - 1) * 4, (i - 1) * 4
  local holds, expiries = KEYS[k + 3], KEYS[k + 4]
  prune(holds, expiries)
  local used = math.max(number(redis.pcall('GET', KEYS[k + 1])) or 0, tonumber(ARGV[a + 2]))
  local forgiven = math.max(number(redis.pcall('GET', KEYS[k + 2])) or 0, tonumber(ARGV[a + 3]))
  if redis.call('HGET', holds, 'h' .. name) ~= 'd' then
    drop(holds, expiries, name)
    keep(holds, expiries, name, 'd', seconds, ARGV[a + 4])
    if tonumber(ARGV[a + 1]) > 0 then
      used = math.min(most, used + ARGV[a + 1])
      redis.call('SET', KEYS[k + 1], text(used))
      redis.call('EXPIREAT', KEYS[k + 1], ARGV[a + 4])
    end
  end
  answer[#answer + 1] = used
  answer[#answer + 1] = forgiven
end
return answer
""",
    lambda keys: keys // KEYS * 2,
    adds=True,
)
"""Puts what was used in the place of a hold, once."""
