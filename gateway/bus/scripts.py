"""Redis scripts of the bus: a stream for each kind of message, bounded in messages and in bytes.

An entry has two fields: `m`, the envelope, and `w`, how many milliseconds it had waited before it came here. Ages are
measured by the clock of Redis alone. What lies under these keys and is of another type, because another program has put
it there, goes.
"""

from __future__ import annotations

from typing import Final

from gateway.outside.redis_scripts import Script

_READING: Final = """
-- One entry as an answer: its id, how old it is in milliseconds, its message ('!': it is too large).
local function read(entry, now, most)
  local message, waited = '', 0
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'm' then message = entry[2][i + 1] end
    if entry[2][i] == 'w' then waited = tonumber(entry[2][i + 1]) or 0 end
  end
  if #message > most then message = '!' end
  local age = now - (tonumber(string.match(entry[1], '^%d+')) or now)
  return {entry[1], string.format('%.0f', math.max(0, age) + math.max(0, waited)), message}
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function mend(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
"""

SEND: Final = Script(
    _READING
    + """
-- KEYS: the stream, the number of its bytes. ARGV: how many messages and bytes it may have, then for each message how
-- long it has waited, and its text. Answers how many that a group has not read yet had to make room.
mend(KEYS[1], 'stream')
local length = redis.call('XLEN', KEYS[1])
local held = redis.pcall('GET', KEYS[2])
local bytes = length > 0 and type(held) == 'string' and tonumber(held) or 0
local most, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, #ARGV, 2 do
  redis.call('XADD', KEYS[1], '*', 'w', ARGV[i], 'm', ARGV[i + 1])
  length, bytes = length + 1, bytes + #ARGV[i + 1]
end
local read_up_to
local unread = 0
local function before(one, other)
  local ms, number = string.match(one, '^(%d+)-(%d+)')
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or (ms == other_ms and tonumber(number) < tonumber(other_number))
end
while length > 0 and (length > most or bytes > most_bytes) do
  if not read_up_to then
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
      for i = 1, #group, 2 do
        if group[i] == 'last-delivered-id' and (not read_up_to or before(group[i + 1], read_up_to)) then
          read_up_to = group[i + 1]
        end
      end
    end
    read_up_to = read_up_to or '18446744073709551615-0'
  end
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  for i = 1, #oldest[2], 2 do
    if oldest[2][i] == 'm' then bytes = bytes - #oldest[2][i + 1] end
  end
  if before(read_up_to, oldest[1]) then unread = unread + 1 end
  redis.call('XDEL', KEYS[1], oldest[1])
  length = length - 1
end
redis.call('SET', KEYS[2], string.format('%.0f', math.max(0, bytes)))
return unread
""",
)

KEEP: Final = Script(
    _READING
    + """
-- KEYS: the stream, the entries in it by what they are of ("id sender"), when senders were last heard of, the number
-- of the stream's bytes. ARGV: the sender, for how many milliseconds one counts, how many keys and bytes there may be;
-- then for each message what it is of, how long it has waited, and its text ('': there is nothing to say of it).
-- Another sender's message stays while that one lives. Answers for each whether (1) it was taken, 0 where another
-- sender speaks for it, -1 where there is no room for it.
mend(KEYS[1], 'stream')
mend(KEYS[2], 'hash')
mend(KEYS[3], 'zset')
local held = redis.pcall('GET', KEYS[4])
local bytes = redis.call('XLEN', KEYS[1]) > 0 and type(held) == 'string' and tonumber(held) or 0
local time, answer = now(), {}
for i = 5, #ARGV, 3 do
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  local id, sender = string.match(known or '', '^(%d+%-%d+) (.*)$')
  local heard = sender and sender ~= ARGV[1] and tonumber(redis.call('ZSCORE', KEYS[3], sender) or '')
  if heard and math.abs(time - heard) < tonumber(ARGV[2]) then
    answer[#answer + 1] = 0
  elseif not known and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) or bytes + #ARGV[i + 2] > tonumber(ARGV[4]) then
    answer[#answer + 1] = -1
  else
    for _, entry in ipairs(id and redis.call('XRANGE', KEYS[1], id, id) or {}) do
      bytes = bytes - #read(entry, time, math.huge)[3]
      redis.call('XDEL', KEYS[1], id)
    end
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[2], ARGV[i])
    else
      local made = redis.call('XADD', KEYS[1], '*', 'w', ARGV[i + 1], 'm', ARGV[i + 2])
      redis.call('HSET', KEYS[2], ARGV[i], made .. ' ' .. ARGV[1])
      bytes = bytes + #ARGV[i + 2]
    end
    answer[#answer + 1] = 1
  end
end
redis.call('SET', KEYS[4], string.format('%.0f', math.max(0, bytes)))
return answer
"""
)

FOLLOW: Final = Script(
    _READING
    + """
-- KEYS: the stream, the name of what Redis knows (it is lost with the data). ARGV: that name as it is known, the entry
-- up to which all is known (or '' for none), of how many milliseconds before all is wanted where nothing is known
-- (0: everything), the most bytes of a message and of an answer, and a new name.
-- Answers the name, then entries.
mend(KEYS[1], 'stream')
local name = redis.pcall('GET', KEYS[2])
if type(name) ~= 'string' then
  redis.call('DEL', KEYS[2])
  name = ARGV[6]
  redis.call('SET', KEYS[2], name)
end
local time, from, answer, size = now(), ARGV[2], {name}, 0
if name ~= ARGV[1] or from == '' then
  from = ARGV[3] == '0' and '-' or string.format('%.0f', time - ARGV[3])
else
  from = '(' .. from
end
while size < tonumber(ARGV[5]) and #answer <= 100 do
  local entry = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if not entry then break end
  answer[#answer + 1] = read(entry, time, tonumber(ARGV[4]))
  size = size + #answer[#answer][3]
  from = '(' .. entry[1]
end
return answer
"""
)

SHARE: Final = Script(
    _READING
    + """
-- KEYS: the stream. ARGV: the group, the consumer, the most bytes of a message and of an answer.
-- Answers entries that no consumer of the group has received yet.
mend(KEYS[1], 'stream')
local time, answer, size = now(), {}, 0
while size < tonumber(ARGV[4]) and #answer < 100 do
  local found = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
  if found and found.err then
    if not string.match(found.err, 'NOGROUP') then return found end
    redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
  elseif not found or not found[1] or not found[1][2][1] then
    break
  else
    answer[#answer + 1] = read(found[1][2][1], time, tonumber(ARGV[3]))
    size = size + #answer[#answer][3]
  end
end
return answer
"""
)

CLAIM: Final = Script(
    _READING
    + """
-- KEYS: the stream. ARGV: the group, the consumer, after how many milliseconds what one got and has not handled goes to
-- another, how often it may, the most bytes of a message, and after how long a consumer that has nothing is forgotten.
-- Answers how many will not be handled (they were handed over too often, or are deleted), then entries.
mend(KEYS[1], 'stream')
local known = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if known.err then return {0} end
for _, consumer in ipairs(known) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields.name ~= ARGV[2] and fields.pending == 0 and fields.idle > tonumber(ARGV[6]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields.name)
  end
end
local lost = 0
for _, entry in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', 100)) do
  local gone = #redis.call('XRANGE', KEYS[1], entry[1], entry[1]) == 0
  if gone or entry[4] >= tonumber(ARGV[4]) then
    redis.call('XACK', KEYS[1], ARGV[1], entry[1])
    lost = lost + 1
  end
end
local time, answer = now(), {lost}
for _, entry in ipairs(redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0', 'COUNT', 10)[2]) do
  if entry then answer[#answer + 1] = read(entry, time, tonumber(ARGV[5])) end
end
return answer
"""
)

DONE: Final = Script("return redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))")
"""ARGV: the group, and the entries that were handled."""

LIVE: Final = Script(
    _READING
    + """
-- KEYS: when senders were last heard of, the name of what Redis knows, then a stream and its entries by what they are
-- of, in turn. ARGV: a sender, after how many milliseconds one is forgotten, a new name.
-- Answers the name, then senders and how long ago each was heard of. Where a stream has not what it should have,
-- because something else has deleted a part of it, all of it goes, and the name becomes another one: it is said again.
mend(KEYS[1], 'zset')
local time, name = now(), redis.pcall('GET', KEYS[2])
local whole = type(name) == 'string'
for i = 3, #KEYS, 2 do
  mend(KEYS[i], 'stream')
  mend(KEYS[i + 1], 'hash')
  if redis.call('XLEN', KEYS[i]) ~= redis.call('HLEN', KEYS[i + 1]) then
    redis.call('DEL', KEYS[i], KEYS[i + 1])
    whole = false
  end
end
if not whole then
  redis.call('DEL', KEYS[2])
  name = ARGV[3]
  redis.call('SET', KEYS[2], name)
end
redis.call('ZADD', KEYS[1], string.format('%.0f', time), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', time - ARGV[2]))
local answer = {name}
local heard = redis.call('ZREVRANGE', KEYS[1], 0, 999, 'WITHSCORES')
for i = 1, #heard, 2 do
  answer[#answer + 1] = heard[i]
  answer[#answer + 1] = string.format('%.0f', math.max(0, time - heard[i + 1]))
end
return answer
"""
)

LEAVE: Final = Script("return redis.call('ZREM', KEYS[1], ARGV[1])")
"""ARGV: a sender that has nothing more to say."""
