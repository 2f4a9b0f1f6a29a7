-- What all scripts share. An event's life and who may move it: workers/LIFE.md.

-- Milliseconds, with microseconds behind the point.
local function now_exact()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end

local function now_ms()
  return math.floor(now_exact())
end

-- RQ's own format of a time.
local function rq_time(ms)
  local days = math.floor(ms / 86400000)
  local left = ms - days * 86400000
  -- Days since 1970-01-01 to a date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year, month, doy - math.floor((153 * mp + 2) / 5) + 1,
    math.floor(left / 3600000), math.floor(left / 60000) % 60, math.floor(left / 1000) % 60,
    math.floor(left % 1000 * 1000 + 0.5))
end

-- The milliseconds of a time in RQ's format; nil for anything else.
local function from_rq_time(text)
  local year, month, day, hour, minute, second = string.match(text or '',
    '^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d):(%d%d):(%d%d%.%d+)Z$')
  if not year then
    return nil
  end
  -- The way back (Hinnant, as above).
  local y, m = year - (tonumber(month) <= 2 and 1 or 0), tonumber(month)
  local era = math.floor(y / 400)
  local yoe = y - era * 400
  local doy = math.floor((153 * (m > 2 and m - 3 or m + 9) + 2) / 5) + day - 1
  local days = era * 146097 + yoe * 365 + math.floor(yoe / 4) - math.floor(yoe / 100) + doy - 719468
  return days * 86400000 + hour * 3600000 + minute * 60000 + second * 1000
end

-- Add to totals: those for ever, and those of this minute, which are kept for a day and an hour.
local function count(now, numbers)
  local minute = MINUTE .. math.floor(now / 60000)
  for name, number in pairs(numbers) do
    if number > 0 then
      redis.call('HINCRBY', COUNTERS, name, number)
      redis.call('HINCRBY', minute, name, number)
    end
  end
  redis.call('EXPIRE', minute, 90000)
end

-- Wake one worker that has free slots. A name nobody listens to is a dead worker's: try the next.
local function wake()
  local name = redis.call('SPOP', WAITING)
  while name and redis.call('PUBLISH', WAKE .. name, '') == 0 do
    name = redis.call('SPOP', WAITING)
  end
end

-- Let a job run: put it in its queue's line.
local function line_up(job, queue, at_front)
  redis.call('HSET', JOB .. job, 'status', 'queued')
  redis.call(at_front and 'LPUSH' or 'RPUSH', QUEUE .. queue, job)
end

-- Let a job wait for its turn in its session.
local function defer(job, queue, now)
  redis.call('HSET', JOB .. job, 'status', 'deferred')
  redis.call('ZADD', DEFERRED .. queue, now / 1000, job)
end

-- Take a job, which is first in its lane, out of it, and let the next one run. A job without a lane has lane ''.
local function leave_lane(job, lane)
  if lane == '' or redis.call('LINDEX', LANE .. lane, 0) ~= job then
    return
  end
  redis.call('LPOP', LANE .. lane)
  local successor = redis.call('LINDEX', LANE .. lane, 0)
  while successor do
    local queue, status = unpack(redis.call('HMGET', JOB .. successor, 'origin', 'status'))
    if queue and status == 'deferred' then
      redis.call('ZREM', DEFERRED .. queue, successor)
      line_up(successor, queue)
      return
    end
    -- Its job was deleted or cancelled from outside (`rq empty`, a dashboard): nothing to wait for.
    redis.call('LPOP', LANE .. lane)
    successor = redis.call('LINDEX', LANE .. lane, 0)
  end
end

-- Take a claim out of RQ's registry of started jobs; of a job that was deleted from outside the queue is not known.
local function no_longer_started(claim, queue)
  for _, name in ipairs(queue and {queue} or PRIORITY_QUEUES) do
    redis.call('ZREM', WIP .. name, claim)
  end
end

-- Unique even where a failover has turned the counter back.
local function new_execution(worker)
  return string.sub(worker, 1, 8) .. string.format('%x', redis.call('INCR', TURN))
end

-- Add one to a number in a job. What others have written there instead of a number counts as none.
local function count_up(job, field)
  local number = redis.pcall('HINCRBY', JOB .. job, field, 1)
  if type(number) == 'table' then
    number = 1
    redis.call('HSET', JOB .. job, field, number)
  end
  return number
end

local function write_claim(job, execution, queue, worker, now)
  local claim, time = job .. ':' .. execution, rq_time(now)
  redis.call('HSET', JOB .. job, 'status', 'started', 'started_at', time, 'last_heartbeat', time, 'worker_name', worker)
  redis.call('HSET', EXECUTION .. claim, 'id', execution, 'job_id', job, 'created_at', now / 1000,
    'last_heartbeat', now / 1000, 'worker_name', worker)
  redis.call('ZADD', EXECUTIONS .. job, '+inf', execution)
  -- RQ's own maintenance must never take a claim back: leases decide.
  redis.call('ZADD', WIP .. queue, '+inf', claim)
  redis.call('SADD', WORKER .. worker .. ':executions', claim)
  return count_up(job, 'claims')
end

-- The bytes that the body of a dead letter takes are known as long as it is one, so that their sum is bounded.
local function measure_dead(job)
  local size = redis.call('HSTRLEN', JOB .. job, 'body')
  redis.call('HSET', DEAD, job, size)
  redis.call('INCRBY', DEAD_BYTES, size)
end

local function unmeasure_dead(job)
  local size = redis.call('HGET', DEAD, job)
  if size then
    redis.call('HDEL', DEAD, job)
    redis.call('DECRBY', DEAD_BYTES, size)
  end
end

-- Forget an event that nobody works on any more; `registry` is FAILED or FINISHED.
local function forget_event(registry, queue, job)
  redis.call('ZREM', registry .. queue, job)
  redis.call('DEL', JOB .. job)
  unmeasure_dead(job)
end

-- Forget some events that have been kept for their time. Returns how many.
local function forget_expired(registry, queue, now, at_most)
  local expired = redis.call('ZRANGE', registry .. queue, '-inf', now / 1000, 'BYSCORE', 'LIMIT', 0, at_most)
  for _, job in ipairs(expired) do
    forget_event(registry, queue, job)
  end
  return #expired
end

-- Forget the oldest event of all priorities. Returns false if there is none.
local function forget_oldest(registry)
  local oldest, when, where = nil, math.huge, nil
  for _, queue in ipairs(PRIORITY_QUEUES) do
    local first = redis.call('ZRANGE', registry .. queue, 0, 0, 'WITHSCORES')
    if first[1] and tonumber(first[2]) < when then
      oldest, when, where = first[1], tonumber(first[2]), queue
    end
  end
  if oldest then
    forget_event(registry, where, oldest)
  end
  return oldest ~= nil
end

local function kept(registry)
  local total = 0
  for _, queue in ipairs(PRIORITY_QUEUES) do
    total = total + redis.call('ZCARD', registry .. queue)
  end
  return total
end

local function too_many_dead()
  return kept(FAILED) > KEEP_DEAD_MAX or tonumber(redis.call('GET', DEAD_BYTES) or '0') > KEEP_DEAD_BYTES
end

-- Make a job a dead letter. Forgets what has been one for too long, and the oldest where there is more than is kept.
local function bury(job, queue, lane, now, reason, err)
  redis.call('HSET', JOB .. job, 'status', 'failed', 'ended_at', rq_time(now), 'died_at', now,
    'reason', reason, 'error', err, 'exc_info', reason .. ': ' .. err)
  redis.call('EXPIRE', JOB .. job, KEEP_DEAD)
  redis.call('ZADD', FAILED .. queue, now / 1000 + KEEP_DEAD, job)
  measure_dead(job)
  local evicted = 0
  while evicted < 100 and too_many_dead() and forget_oldest(FAILED) do
    evicted = evicted + 1
  end
  count(now, {dead = 1, ['dead:' .. reason] = 1, evicted = evicted, expired = forget_expired(FAILED, queue, now, 2)})
  leave_lane(job, lane)
end

-- How far its handlers are when an event lives again. With `only`, those named start over and the others stay as they
-- are. Without, a dead letter's handlers that are done stay done, and those of a handled event all run again.
local function start_over(progress, was_dead, only)
  local known, handlers = pcall(cjson.decode, progress or '')
  if not known or type(handlers) ~= 'table' then
    return ''
  end
  local left = {}
  for name, one in pairs(handlers) do
    if type(one) ~= 'table' then
      return ''
    end
    local stays = was_dead and one[3] == 'done'
    if only then
      stays = not only[name]
    end
    if stays then
      left[name] = one
    end
  end
  return next(left) and cjson.encode(left) or ''
end

-- Turn a dead letter or a handled event back into one that is to run; `replay` is what its handlers are told of it.
local function revive(job, replay, was_dead, only)
  local progress = start_over(redis.call('HGET', JOB .. job, 'progress'), was_dead, only)
  redis.call('HDEL', JOB .. job, 'died_at', 'reason', 'error', 'exc_info', 'ended_at', 'crashes')
  redis.call('HSET', JOB .. job, 'progress', progress, 'replay', replay)
  redis.call('PERSIST', JOB .. job)
  unmeasure_dead(job)
end
