#!lua flags=allow-oom
-- Close what has ended, promote what is due, claim what fits: one atomic step, so that a kill at any moment leaves an
-- event either in line or claimed. Allowed to run when memory is full, since closing is what frees it.
-- ARGV: worker, lease (ms), how many to claim, how many are in flight once these closings are done,
--       number of closings, then for every closing:
--       job id, execution id, verb, due (ms), progress, reason, error;
--       then, only after a reply was lost: 'resync' and every claim (job:execution) the worker knows it holds.
-- Verbs: done, retry (at `due`), dead, release (back into line, no try spent), unlane (let successors go on already).
-- Returns {answers, claimed, suspended, alone, next due (ms) or -1}; an answer is 1, or 0 where the claim was no longer ours;
-- a claimed event is {job id, execution id, body, signature, progress, claims, replay, accepted at,
-- traceparent, copy of}.

local worker, lease, want, in_flight = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local held = WORKER .. worker .. ':executions'

-- Give a claim up. False if it is no longer ours: the lease ended and somebody else has the event.
local function give_up(job, execution, queue)
  local claim = job .. ':' .. execution
  if redis.call('DEL', EXECUTION .. claim) == 0 then
    return false
  end
  redis.call('SREM', held, claim)
  no_longer_started(claim, queue)
  redis.call('DEL', EXECUTIONS .. job)
  return true
end

local counted = {handled = 0, retried = 0, released = 0, lost = 0, forgotten = 0, milliseconds = 0}

-- Note how long it took from its acceptance, in buckets whose bounds are powers of the fourth root of 2.
local function note_latency(accepted_at)
  local latency = math.max(1, now - (from_rq_time(accepted_at) or now))
  local bucket = 'ms:' .. math.ceil(math.log(latency) / math.log(2) * 4)
  counted[bucket] = (counted[bucket] or 0) + 1
  counted.milliseconds = counted.milliseconds + math.floor(latency)
end

-- Keep of a handled event what tells what became of it.
local function keep_handled(job, queue, progress, reason)
  if KEEP_HANDLED == 0 then
    redis.call('DEL', JOB .. job)
    return
  end
  redis.call('HDEL', JOB .. job, 'lane', 'worker_name', 'last_heartbeat', 'crashes', 'enqueued_at',
    unpack(KEEP_BODIES and {} or {'body', 'signature'}))
  redis.call('HSET', JOB .. job, 'status', 'finished', 'ended_at', rq_time(now), 'progress', progress, 'reason', reason)
  redis.call('EXPIRE', JOB .. job, KEEP_HANDLED)
  redis.call('ZADD', FINISHED .. queue, now / 1000 + KEEP_HANDLED, job)
  forget_expired(FINISHED, queue, now, 2)
end

local function close(job, execution, verb, due, progress, reason, err)
  local queue, lane, accepted_at, replay =
    unpack(redis.call('HMGET', JOB .. job, 'origin', 'lane', 'created_at', 'replay'))
  if verb == 'unlane' then
    if redis.call('EXISTS', EXECUTION .. job .. ':' .. execution) == 1 then
      leave_lane(job, lane or '')
      redis.call('HSET', JOB .. job, 'lane', '')
    end
    return 1
  end
  if not give_up(job, execution, queue) or not queue then
    counted.lost = counted.lost + 1
    return 0
  end
  if verb == 'done' then
    keep_handled(job, queue, progress, reason)
    leave_lane(job, lane)
    counted.handled = counted.handled + 1
    if not replay then
      note_latency(accepted_at)
    end
  elseif verb == 'dead' then
    redis.call('HSET', JOB .. job, 'progress', progress)
    bury(job, queue, lane, now, reason, err)
  elseif verb == 'retry' then
    redis.call('HSET', JOB .. job, 'status', 'scheduled', 'progress', progress, 'crashes', 0)
    redis.call('ZADD', SCHEDULED .. queue, tonumber(due) / 1000, job)
    counted.retried = counted.retried + 1
  else -- release
    redis.call('HSET', JOB .. job, 'progress', progress)
    line_up(job, queue, true)
    counted.released = counted.released + 1
  end
  return 1
end

local answers = {}
for i = 6, 5 + tonumber(ARGV[5]) * 7, 7 do
  answers[#answers + 1] = close(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
end
if #answers > 0 then
  local surplus = kept(FINISHED) - KEEP_HANDLED_MAX
  while surplus > counted.forgotten and counted.forgotten < 2 * #answers and forget_oldest(FINISHED) do
    counted.forgotten = counted.forgotten + 1
  end
  count(now, counted)
end
if counted.handled > 0 then
  redis.call('HINCRBY', WORKER .. worker, 'successful_job_count', counted.handled)
end

-- Promote retries that are due; the next one's time tells the worker when to look again.
local next_due = -1
for _, queue in ipairs(PRIORITY_QUEUES) do
  local first = redis.call('ZRANGE', SCHEDULED .. queue, 0, 0, 'WITHSCORES')
  if first[1] and tonumber(first[2]) * 1000 <= now then
    for _, job in ipairs(redis.call('ZRANGEBYSCORE', SCHEDULED .. queue, '-inf', now / 1000, 'LIMIT', 0, 100)) do
      redis.call('ZREM', SCHEDULED .. queue, job)
      if redis.call('EXISTS', JOB .. job) == 1 then
        line_up(job, queue)
      end
    end
    first = redis.call('ZRANGE', SCHEDULED .. queue, 0, 0, 'WITHSCORES')
  end
  if first[1] and (next_due < 0 or tonumber(first[2]) * 1000 < next_due) then
    next_due = math.max(now, math.ceil(tonumber(first[2]) * 1000))
  end
end

-- May this job run now? One that was put into the line from outside (`rq requeue`) must queue in its lane first.
local function has_turn(job, queue, status, lane)
  if status ~= 'queued' then
    return false -- an entry left over: the job is already somewhere else, or gone
  end
  if lane == '' then
    return true
  end
  local first = redis.call('LINDEX', LANE .. lane, 0)
  if first == job then
    return true
  end
  -- A dashboard may have moved a job into the line that is waiting for its turn already.
  if not redis.call('LPOS', LANE .. lane, job) then
    redis.call('RPUSH', LANE .. lane, job)
  end
  if not first then
    return true
  end
  defer(job, queue, now)
  return false
end

local claimed = {}

-- {status, lane, queue, body, signature, progress, died at, accepted at, replay, traceparent, copy of}
local function read(job)
  return redis.call('HMGET', JOB .. job, 'status', 'lane', 'origin', 'body', 'signature', 'progress', 'died_at',
    'created_at', 'replay', 'traceparent', 'copy_of')
end

local function hand_over(job, execution, fields, claims)
  claimed[#claimed + 1] = {job, execution, fields[4], fields[5] or '', fields[6] or '', claims, fields[9] or '',
    fields[8] or '', fields[10] or '', fields[11] or ''}
end

local function claim(job)
  local fields = read(job)
  local lane, queue = fields[2] or '', fields[3]
  if not queue then
    return -- deleted from outside (`rq empty`, a dashboard)
  end
  if not fields[4] then
    bury(job, queue, lane, now, 'not_an_event', 'a job that no receiver has written')
    return
  end
  if not has_turn(job, queue, fields[1], lane) then
    return
  end
  local execution = new_execution(worker)
  if fields[7] then -- a dead letter that was put into line from outside (`rq requeue`)
    revive(job, cjson.encode({id = execution, reason = 'requeued'}), true)
    fields = read(job)
  end
  hand_over(job, execution, fields, write_claim(job, execution, queue, worker, now))
end

-- A reply was lost on the way: hand over again what we claimed for this worker without its knowing.
local closings_end = 5 + tonumber(ARGV[5]) * 7
if ARGV[closings_end + 1] == 'resync' then
  local known = {}
  for i = closings_end + 2, #ARGV do
    known[ARGV[i]] = true
  end
  for _, key in ipairs(redis.call('SMEMBERS', held)) do
    if not known[key] then
      local job, execution = string.match(key, '^(.*):(.-)$')
      local fields = read(job)
      if fields[4] then
        hand_over(job, execution, fields, tonumber(redis.call('HGET', JOB .. job, 'claims')) or 1)
      end
    end
  end
end

local suspended = redis.call('EXISTS', SUSPENDED)
local alone = 0
if want > 0 and suspended == 0 then
  redis.call('ZADD', LEASES, now + lease, worker)
  -- An event that was in flight at two crashes may have caused them: it runs alone, on one worker at a time.
  if redis.call('EXISTS', ISOLATED) == 1 then
    local isolator = redis.call('GET', ISOLATOR)
    if not isolator or isolator == worker then
      redis.call('SET', ISOLATOR, worker, 'PX', lease)
      alone = 1
      if in_flight == 0 then
        while #claimed == 0 and redis.call('EXISTS', ISOLATED) == 1 do
          claim(redis.call('LPOP', ISOLATED))
        end
        if #claimed == 0 then
          alone = 0
        end
      end
    end
  end
  if alone == 0 then
    local left, total = {}, 0
    for i, queue in ipairs(PRIORITY_QUEUES) do
      left[i] = redis.call('LLEN', QUEUE .. queue)
      total = total + left[i]
    end
    local turn = total > 0 and tonumber(redis.call('GET', TURN) or '0') or 0
    while #claimed < want and total > 0 do
      turn = turn + 1
      -- The most urgent first; but every eighth claim starts with another priority in turn, so that none starves.
      local first = turn % 8 == 0 and math.floor(turn / 8) % #PRIORITY_QUEUES or 0
      for step = 0, #PRIORITY_QUEUES - 1 do
        local i = (first + step) % #PRIORITY_QUEUES + 1
        if left[i] > 0 then
          local job = redis.call('LPOP', QUEUE .. PRIORITY_QUEUES[i])
          left[i] = left[i] - 1
          total = total - 1
          if job then
            claim(job)
          end
          break
        end
      end
    end
    if total > 0 then
      wake() -- more than fits here: another worker may have room
    end
  end
end

local busy = in_flight + #claimed > 0
if redis.call('EXISTS', WORKER .. worker) == 1 then
  redis.call('HSET', WORKER .. worker, 'state', suspended == 1 and 'suspended' or busy and 'busy' or 'idle')
end
if #claimed < want and alone == 0 and suspended == 0 then
  redis.call('SADD', WAITING, worker)
else
  redis.call('SREM', WAITING, worker)
end
return {answers, claimed, suspended, alone, next_due}
