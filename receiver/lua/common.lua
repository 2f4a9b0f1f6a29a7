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

-- What stands in a field that should hold JSON of a table; nil for anything else.
local function decoded(text)
  local known, value = pcall(cjson.decode, text or '')
  return known and type(value) == 'table' and value or nil
end

-- How long what is counted by the minute stays (s): a day and an hour.
local KEEP_MINUTES = 90000

-- Add to totals: those for ever, and those of this minute.
local function count(now, numbers)
  local minute = MINUTE .. math.floor(now / 60000)
  for name, number in pairs(numbers) do
    if number > 0 then
      redis.call('HINCRBY', COUNTERS, name, number)
      if redis.call('HINCRBY', minute, name, number) == number then -- perhaps the first that is counted in it
        redis.call('EXPIRE', minute, KEEP_MINUTES)
      end
    end
  end
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
  local first = lane ~= '' and redis.call('LPOP', LANE .. lane)
  if first ~= job then
    if first then
      redis.call('LPUSH', LANE .. lane, first)
    end
    return
  end
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
  if queue then
    redis.call('ZREM', WIP .. queue, claim)
    return
  end
  for _, name in ipairs(PRIORITY_QUEUES) do
    redis.call('ZREM', WIP .. name, claim)
  end
end

-- The id of a claim, the `turn`-th of all. Unique even where a failover has turned the counter back.
local function execution_id(worker, turn)
  return string.sub(worker, 1, 8) .. string.format('%x', turn)
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

-- Write down a claim of a job, its `claims`-th; `time` is `now` in RQ's format.
local function write_claim(job, execution, queue, worker, now, time, claims)
  local claim = job .. ':' .. execution
  redis.call('HSET', JOB .. job, 'status', 'started', 'started_at', time, 'last_heartbeat', time, 'worker_name', worker,
    'claims', claims)
  redis.call('HSET', EXECUTION .. claim, 'id', execution, 'job_id', job, 'created_at', now / 1000,
    'last_heartbeat', now / 1000, 'worker_name', worker)
  redis.call('ZADD', EXECUTIONS .. job, '+inf', execution)
  -- RQ's own maintenance must never take a claim back: leases decide.
  redis.call('ZADD', WIP .. queue, '+inf', claim)
  redis.call('SADD', WORKER .. worker .. ':executions', claim)
end
