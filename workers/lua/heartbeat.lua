#!lua flags=allow-oom
-- Prove that a worker lives, and take back what dead workers held.
-- ARGV: worker, lease (ms), crashes after which an event is a dead letter,
--       birth (1: the worker starts; 0: it goes on; -1: it ends), then field, value, … of its RQ record.
-- Returns 1 if the worker's lease was unbroken (or it is new), 0 if others may have taken its events.

local worker, lease, max_crashes, birth = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()

local function is_gone(job)
  local status = redis.call('HGET', JOB .. job, 'status')
  return not status or status == 'canceled' or status == 'failed'
end

local function forget(name)
  redis.call('ZREM', LEASES, name)
  redis.call('SREM', WAITING, name)
  redis.call('DEL', WORKER .. name, WORKER .. name .. ':executions')
  redis.call('SREM', WORKERS, WORKER .. name)
  for _, queue in ipairs(PRIORITY_QUEUES) do
    redis.call('SREM', WORKERS .. ':' .. queue, WORKER .. name)
  end
end

local function take_back(job, execution)
  local claim = job .. ':' .. execution
  redis.call('DEL', EXECUTION .. claim, EXECUTIONS .. job)
  local queue, lane = unpack(redis.call('HMGET', JOB .. job, 'origin', 'lane'))
  no_longer_started(claim, queue)
  if not queue then
    return
  end
  count(now, {taken_back = 1})
  local crashes = count_up(job, 'crashes')
  if crashes >= max_crashes then
    bury(job, queue, lane or '', now, 'worker_lost', 'its worker died ' .. crashes .. ' times')
  elseif crashes == 1 then
    line_up(job, queue, true)
  else
    redis.call('HSET', JOB .. job, 'status', 'queued')
    redis.call('RPUSH', ISOLATED, job)
  end
end

local function take_back_all(name)
  for _, claim in ipairs(redis.call('SMEMBERS', WORKER .. name .. ':executions')) do
    local job, execution = string.match(claim, '^(.*):(.-)$')
    take_back(job, execution)
  end
  forget(name)
end

-- Nobody was heard for long: Redis itself was away, or all workers were. Whoever comes back first would take the others
-- for dead; so a lease gets back the time in which nobody could have renewed it, as far as a living worker needs that.
local last = tonumber(redis.call('GET', BEAT) or now)
redis.call('SET', BEAT, now)
if now - last > lease * 2 / 3 then
  local leases = redis.call('ZRANGE', LEASES, 0, -1, 'WITHSCORES')
  for i = 1, #leases, 2 do
    local ends = tonumber(leases[i + 1])
    redis.call('ZADD', LEASES, math.min(ends + now - last, math.max(ends, now + lease / 2)), leases[i])
  end
end

if birth == -1 then
  take_back_all(worker) -- empty after an orderly stop
  return 1
end

local known = redis.call('ZSCORE', LEASES, worker)
redis.call('ZADD', LEASES, now + lease, worker)
redis.call('HSET', WORKER .. worker, unpack(ARGV, 5))
redis.call('EXPIRE', WORKER .. worker, math.ceil(lease / 1000) * 2 + 60)
redis.call('SADD', WORKERS, WORKER .. worker)
for _, queue in ipairs(PRIORITY_QUEUES) do
  redis.call('SADD', WORKERS .. ':' .. queue, WORKER .. worker)
  redis.call('SADD', QUEUES, QUEUE .. queue)
end

local taken = false
for _, name in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, 10)) do
  take_back_all(name)
  taken = true
end
if taken then
  wake()
end

-- A lane whose first job was deleted or cancelled from outside (`rq empty`, a dashboard) would wait for it for ever:
-- look at a few waiting jobs, others every time.
for _, queue in ipairs(PRIORITY_QUEUES) do
  for _, job in ipairs(redis.call('ZRANDMEMBER', DEFERRED .. queue, 10)) do
    local lane = redis.call('HGET', JOB .. job, 'lane')
    local first = lane and redis.call('LINDEX', LANE .. lane, 0)
    if not lane then
      redis.call('ZREM', DEFERRED .. queue, job)
    elseif first and is_gone(first) then
      leave_lane(first, lane)
      wake()
    end
  end
end

-- What has been kept for its time goes although nothing else happens.
for _, queue in ipairs(PRIORITY_QUEUES) do
  forget_expired(FINISHED, queue, now, 100)
  local expired = forget_expired(FAILED, queue, now, 100)
  if expired > 0 then
    count(now, {expired = expired})
  end
end
-- A dead letter that was deleted from outside still counts in the sum of bytes: look at a few, others every time.
for _, job in ipairs(redis.call('HRANDFIELD', DEAD, 10)) do
  if redis.call('HGET', JOB .. job, 'status') ~= 'failed' then
    unmeasure_dead(job)
  end
end
return (known or birth == 1) and 1 or 0
