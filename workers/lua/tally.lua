#!lua flags=allow-oom
-- Add up what a worker has done since it last told: in all, and in this minute.
-- ARGV: worker, number of this report, events it has handled, number of totals, then for every total: name, number;
--       then for every handler that has run: name, numbers (`receiver.attempts`).
-- A report that is repeated because its answer was lost is not counted again.

local MOST_HANDLERS, MOST_NUMBERS, LARGEST = 200, 64, 1e15
local now = now_ms()
local minute = HANDLERS_MINUTE .. math.floor(now / 60000)

if redis.call('HGET', WORKER .. ARGV[1], 'report') == ARGV[2] then
  return 0
end
if redis.call('EXISTS', WORKER .. ARGV[1]) == 1 then
  redis.call('HSET', WORKER .. ARGV[1], 'report', ARGV[2])
  redis.call('HINCRBY', WORKER .. ARGV[1], 'successful_job_count', ARGV[3])
end

local first_handler, totals = 5 + 2 * tonumber(ARGV[4]), {}
for i = 5, first_handler - 1, 2 do
  totals[ARGV[i]] = tonumber(ARGV[i + 1])
end
count(now, totals)

-- The name under which a handler is counted. There is an end to their number: a new one takes the place of one that
-- nobody has seen for longer than minutes are kept, and is one of many where there is none.
local function place(name)
  if redis.call('HEXISTS', HANDLERS, name) == 1 or redis.call('HLEN', HANDLERS) < MOST_HANDLERS then
    return name
  end
  local oldest = redis.call('ZRANGE', HANDLERS_SEEN, 0, 0, 'WITHSCORES')
  if oldest[1] and tonumber(oldest[2]) < now / 1000 - KEEP_MINUTES then
    redis.call('HDEL', HANDLERS, oldest[1])
    redis.call('ZREM', HANDLERS_SEEN, oldest[1])
    return name
  end
  return '(others)'
end

local function add(key, name, numbers)
  local known = string.gmatch(redis.call('HGET', key, name) or '', '%d+')
  local more, sums = string.gmatch(numbers, '%d+'), {}
  for i = 1, MOST_NUMBERS do
    local one, other = known(), more()
    if not (one or other) then
      break
    end
    sums[i] = string.format('%.0f', math.min(LARGEST, (tonumber(one) or 0) + (tonumber(other) or 0)))
  end
  redis.call('HSET', key, name, table.concat(sums, ' '))
end

for i = first_handler, #ARGV, 2 do
  local name = place(ARGV[i])
  redis.call('ZADD', HANDLERS_SEEN, math.floor(now / 1000), name)
  add(HANDLERS, name, ARGV[i + 1])
  add(minute, name, ARGV[i + 1])
end
if first_handler < #ARGV then
  redis.call('EXPIRE', minute, KEEP_MINUTES)
end
return 1
