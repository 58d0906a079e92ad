"""Redis scripts of limits, each one call, with Redis' own clock. Debts are nanoseconds, as in `algorithms.gcra`.

The state of a window is a text of two numbers: its debt, and when that was (microseconds since 1970). It expires
when the debt is paid back.
"""

from __future__ import annotations

from gateway.outside.redis_scripts import Script

_STATE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function owe(key, debt)
  if debt > 0 then
    redis.call('SET', key, string.format('%.0f %.0f', debt, now), 'PX', math.ceil(debt / 1000000) + 1)
  else
    redis.call('DEL', key)
  end
end

-- What is not a debt is as good as nothing, and is written over: a value of another program must neither
-- fail what it is asked with nor shut a caller out for ever.
local function owed(key)
  local state = redis.pcall('GET', key)
  if type(state) ~= 'string' or #state > 40 then return 0 end
  local debt, at = string.match(state, '^(%d+) (%d+)$')
  debt, at = tonumber(debt), tonumber(at)
  if not debt or debt > 2 ^ 54 or at > now + 3600000000 then return 0 end  -- no clock of ours is an hour ahead
  if at > now then owe(key, debt) end  -- the clock went back: or nothing was paid back until it is there again
  return math.max(0, debt - math.max(0, now - at) * 1000)
end
"""

TAKE = Script(
    _STATE
    + """
-- KEYS: windows. ARGV: for each its interval, its capacity, the cost, and three numbers: its request, its limit (both
-- counted from 1 and in order), and 1 where a limit that has no room keeps the whole request from being counted.
-- Answers for each window 1 or 0 (whether there was room), then what is owed in each.
local answer = {}

local function decide(first, last)
  local debts, room, refused = {}, {}, false
  for i = first, last do
    local a = (i - 1) * 6
    local limit = ARGV[a + 5]
    debts[i] = owed(KEYS[i])
    if room[limit] == nil then room[limit] = true end
    if debts[i] + ARGV[a + 3] * ARGV[a + 1] > tonumber(ARGV[a + 2]) then
      room[limit] = false
      if ARGV[a + 6] == '1' then refused = true end
    end
  end
  for i = first, last do
    local a = (i - 1) * 6
    local fits = room[ARGV[a + 5]]
    if fits and not refused then
      debts[i] = debts[i] + ARGV[a + 3] * ARGV[a + 1]
      owe(KEYS[i], debts[i])
    end
    answer[i] = fits and 1 or 0
    answer[#KEYS + i] = debts[i]
  end
end

local first = 1
for i = 1, #KEYS do
  if i == #KEYS or ARGV[i * 6 + 4] ~= ARGV[(i - 1) * 6 + 4] then
    decide(first, i)
    first = i + 1
  end
end
return answer
""",
    lambda keys: 2 * keys,
)
"""Counts requests, one after the other, each in all its windows or in none."""

SETTLE = Script(
    _STATE
    + """
-- KEYS: windows. ARGV: for each the nanoseconds that were spent (negative: given back). Answers what is owed in each.
local answer = {}
for i, key in ipairs(KEYS) do
  local debt = owed(key)
  if tonumber(ARGV[i]) ~= 0 then
    debt = math.max(0, debt + ARGV[i])
    owe(key, debt)
  end
  answer[i] = debt
end
return answer
""",
    lambda keys: keys,
)
"""Takes over what replicas have spent already."""

COUNT = Script(
    """
-- KEYS: for each counter itself, and a hash for its window: how many counters that has ('keys'), and what all those
-- count together for which there was no room ('shared'). ARGV: how many counters a window may have, then for each what
-- the replica knew, what it has counted since, when the counter may go (seconds since 1970), and 1 where it is never
-- counted with those for which there was no room. Answers the totals. A Redis that lost its data gets what it knew once
-- more.
local function number(total)
  if type(total) ~= 'string' or not string.match(total, '^%d+$') or #total > 16 then return nil end
  return tonumber(total)
end

local function window(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', key) end
  return number(redis.call('HGET', key, 'keys')) or 0
end

local answer = {}
for i = 1, #KEYS / 2 do
  local key, all, a = KEYS[2 * i - 1], KEYS[2 * i], (i - 1) * 4 + 1
  local had, counters = number(redis.pcall('GET', key)), nil
  local full = false
  if not had then
    counters = window(all)
    full = counters >= tonumber(ARGV[1]) and ARGV[a + 4] ~= '1'
    if full then had = number(redis.call('HGET', all, 'shared')) end
  end
  local total = math.max(had or 0, ARGV[a + 1]) + ARGV[a + 2]
  if total ~= (had or 0) then
    local text = string.format('%.0f', total)
    if full then
      redis.call('HSET', all, 'shared', text)
    else
      redis.call('SET', key, text)
      redis.call('EXPIREAT', key, ARGV[a + 3])
      if counters then redis.call('HSET', all, 'keys', string.format('%.0f', counters + 1)) end
    end
    redis.call('EXPIREAT', all, ARGV[a + 3])
  end
  answer[i] = total
end
return answer
""",
    lambda keys: keys // 2,
    adds=True,
)
"""Adds to the counters of quotas."""
