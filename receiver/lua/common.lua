-- What accept, advance and heartbeat share. An event's life and who may move it: workers/LIFE.md.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
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
    math.floor(left / 3600000), math.floor(left / 60000) % 60, math.floor(left / 1000) % 60, left % 1000 * 1000)
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

local function write_claim(job, execution, queue, worker, now)
  local claim, time = job .. ':' .. execution, rq_time(now)
  redis.call('HSET', JOB .. job, 'status', 'started', 'started_at', time, 'last_heartbeat', time, 'worker_name', worker)
  redis.call('HSET', EXECUTION .. claim, 'id', execution, 'job_id', job, 'created_at', now / 1000,
    'last_heartbeat', now / 1000, 'worker_name', worker)
  redis.call('ZADD', EXECUTIONS .. job, '+inf', execution)
  -- RQ's own maintenance must never take a claim back: leases decide.
  redis.call('ZADD', WIP .. queue, '+inf', claim)
  redis.call('SADD', WORKER .. worker .. ':executions', claim)
  return redis.call('HINCRBY', JOB .. job, 'claims', 1)
end

local function bury(job, queue, lane, now, keep_seconds, reason, err)
  redis.call('HSET', JOB .. job, 'status', 'failed', 'ended_at', rq_time(now), 'died_at', now,
    'reason', reason, 'error', err, 'exc_info', reason .. ': ' .. err)
  redis.call('EXPIRE', JOB .. job, keep_seconds)
  redis.call('ZADD', FAILED .. queue, math.floor(now / 1000) + keep_seconds, job)
  redis.call('HINCRBY', COUNTERS, 'dead', 1)
  redis.call('HINCRBY', COUNTERS, 'dead:' .. reason, 1)
  leave_lane(job, lane)
end
