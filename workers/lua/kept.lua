-- What is kept of events that are over, dead letters and handled ones, and how they live again.

-- The bytes that the body of a dead letter takes, and its reason, are known as long as it is one: the sum of bytes is
-- bounded, and how many there are for each reason can be told.
local function measure_dead(job, reason)
  local size = redis.call('HSTRLEN', JOB .. job, 'body')
  redis.call('HSET', DEAD, job, size .. ' ' .. reason)
  redis.call('INCRBY', DEAD_BYTES, size)
  redis.call('HINCRBY', DEAD_REASONS, reason, 1)
end

local function unmeasure_dead(job)
  local size, reason = string.match(redis.call('HGET', DEAD, job) or '', '^(%d+) (.*)$')
  if size then
    redis.call('HDEL', DEAD, job)
    redis.call('DECRBY', DEAD_BYTES, size)
    if redis.call('HINCRBY', DEAD_REASONS, reason, -1) <= 0 then
      redis.call('HDEL', DEAD_REASONS, reason)
    end
  end
end

-- Forget an event that nobody works on any more; `registry` is FAILED or FINISHED.
local function forget_event(registry, queue, job)
  redis.call('ZREM', registry .. queue, job)
  redis.call('DEL', JOB .. job)
  if registry == FAILED then
    unmeasure_dead(job)
  end
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
  measure_dead(job, reason)
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
  local handlers = decoded(progress)
  if not handlers then
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
