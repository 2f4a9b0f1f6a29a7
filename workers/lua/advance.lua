#!lua flags=allow-oom
-- Close what has ended, promote what is due, claim what fits: one atomic step, so that a kill at any moment leaves an
-- event either in line or claimed. Allowed to run when memory is full, since closing is what frees it.
-- ARGV: worker, lease (ms), how many to claim, how many are in flight once these closings are done,
--       number of closings, then for every closing:
--       job id, execution id, verb, due (ms), progress, reason, error;
--       then, only after a reply was lost: 'resync' and every claim (job:execution) the worker knows it holds.
-- Verbs: done, retry (at `due`), dead, release (back into line, no try spent), unlane (let successors go on already).
-- Returns {answers, claimed, suspended, alone, next due (ms) or -1, now (ms)}; an answer is 1, or 0 where the claim was no
-- longer ours; a claimed event is {job id, execution id, body, signature, progress, claims, replay, accepted at,
-- traceparent, copy of}.

-- Jobs that are looked at in one step to find some to claim: lines may hold what has no turn, or is no event.
local MOST_LOOKED_AT = 1000

local worker, lease, want, in_flight = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()
local time = rq_time(now)
local held = WORKER .. worker .. ':executions'

-- The keys that begin with a name and belong to a queue each, the `first`-th priority (from 0) first.
local function keys_of(name, first)
  local keys = {}
  for i = 1, #PRIORITY_QUEUES do
    keys[i] = name .. PRIORITY_QUEUES[(first + i - 1) % #PRIORITY_QUEUES + 1]
  end
  return keys
end

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

local counted = {handled = 0, retried = 0, released = 0, lost = 0, forgotten = 0}
local handled_in -- a queue of which an event was handled

-- Forget the oldest handled events where there are more than are kept, but not many at a time. Returns how many.
local function forget_surplus(at_most)
  local filled, total = {}, 0
  for _, queue in ipairs(PRIORITY_QUEUES) do
    local number = redis.call('ZCARD', FINISHED .. queue)
    total = total + number
    filled[#filled + 1] = number > 0 and queue or nil
  end
  local surplus, forgotten = math.min(total - KEEP_HANDLED_MAX, at_most), 0
  if surplus > 0 and #filled == 1 then -- nearly always, and then it is cheap
    local jobs = redis.call('ZRANGE', FINISHED .. filled[1], 0, surplus - 1)
    redis.call('ZREM', FINISHED .. filled[1], unpack(jobs))
    for i, job in ipairs(jobs) do
      jobs[i] = JOB .. job
    end
    redis.call('DEL', unpack(jobs))
    return surplus
  end
  while forgotten < surplus and forget_oldest(FINISHED) do
    forgotten = forgotten + 1
  end
  return forgotten
end

-- Keep of a handled event what tells what became of it.
local function keep_handled(job, queue, progress, reason)
  if KEEP_HANDLED == 0 then
    redis.call('DEL', JOB .. job)
    return
  end
  redis.call('HDEL', JOB .. job, 'lane', 'worker_name', 'last_heartbeat', 'crashes', 'enqueued_at',
    unpack(KEEP_BODIES and {} or {'body', 'signature'}))
  redis.call('HSET', JOB .. job, 'status', 'finished', 'ended_at', time, 'progress', progress, 'reason', reason)
  redis.call('EXPIRE', JOB .. job, KEEP_HANDLED)
  redis.call('ZADD', FINISHED .. queue, now / 1000 + KEEP_HANDLED, job)
end

local function close(job, execution, verb, due, progress, reason, err)
  local queue, lane = unpack(redis.call('HMGET', JOB .. job, 'origin', 'lane'))
  lane = lane or ''
  if verb == 'unlane' then
    if redis.call('EXISTS', EXECUTION .. job .. ':' .. execution) == 1 then
      leave_lane(job, lane)
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
    counted.handled, handled_in = counted.handled + 1, queue
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
  if handled_in and KEEP_HANDLED > 0 then
    forget_expired(FINISHED, handled_in, now, 2 * #answers)
    counted.forgotten = forget_surplus(2 * #answers)
  end
  count(now, counted)
end

-- Promote retries that are due; the next one's time tells the worker when to look again.
local function promote_due(queue)
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
  return first[1] and math.max(now, math.ceil(tonumber(first[2]) * 1000))
end

local next_due = -1
if redis.call('EXISTS', unpack(keys_of(SCHEDULED, 0))) > 0 then
  for _, queue in ipairs(PRIORITY_QUEUES) do
    local due = promote_due(queue)
    if due and (next_due < 0 or due < next_due) then
      next_due = due
    end
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

-- {status, lane, queue, body, signature, progress, died at, accepted at, replay, traceparent, claims, copy of}
local function read(job)
  return redis.call('HMGET', JOB .. job, 'status', 'lane', 'origin', 'body', 'signature', 'progress', 'died_at',
    'created_at', 'replay', 'traceparent', 'claims', 'copy_of')
end

local function hand_over(job, execution, fields, claims)
  claimed[#claimed + 1] = {job, execution, fields[4], fields[5] or '', fields[6] or '', claims, fields[9] or '',
    fields[8] or '', fields[10] or '', fields[12] or ''}
end

-- Claim a job that was taken out of a line, if it may run; the claim is the `turn`-th of all.
local function claim(job, turn)
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
  local execution = execution_id(worker, turn)
  if fields[7] then -- a dead letter that was put into line from outside (`rq requeue`)
    revive(job, cjson.encode({id = execution, reason = 'requeued'}), true)
    fields = read(job)
  end
  local claims = (tonumber(fields[11]) or 0) + 1
  write_claim(job, execution, queue, worker, now, time, claims)
  hand_over(job, execution, fields, claims)
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
        hand_over(job, execution, fields, tonumber(fields[11]) or 1)
      end
    end
  end
end

-- An event that was in flight at two crashes may have caused them: it runs alone, on one worker at a time. Returns
-- whether this worker is the one.
local function isolate()
  local isolator = redis.call('GET', ISOLATOR)
  if isolator and isolator ~= worker then
    return false
  end
  redis.call('SET', ISOLATOR, worker, 'PX', lease)
  if in_flight > 0 then
    return true
  end
  while #claimed == 0 do
    local job = redis.call('LPOP', ISOLATED)
    if not job then
      return false
    end
    claim(job, redis.call('INCR', TURN))
  end
  return true
end

-- Take the first jobs out of the most urgent line that has some, the `first`-th priority (from 0) being the most urgent.
-- Returns {line, jobs}, or false if all are empty.
local function take(first, number)
  local arguments = keys_of(QUEUE, first)
  for _, argument in ipairs({'LEFT', 'COUNT', number}) do
    arguments[#arguments + 1] = argument
  end
  return redis.call('LMPOP', #PRIORITY_QUEUES, unpack(arguments))
end

-- Claim what is in line, the most urgent first; but every eighth claim starts with another priority in turn, so that
-- none starves. Returns whether more is in line than fits, or than should be looked at in one step.
local function claim_from_lines()
  local begun = tonumber(redis.call('GET', TURN) or '0')
  local turn, found = begun, nil
  repeat
    local first, number = 0, math.min(want - #claimed, 7 - turn % 8)
    if number == 0 then
      first, number = math.floor((turn + 1) / 8) % #PRIORITY_QUEUES, 1
    end
    found = take(first, number)
    for _, job in ipairs(found and found[2] or {}) do
      turn = turn + 1
      claim(job, turn)
    end
  until not found or #claimed >= want or turn > begun + MOST_LOOKED_AT
  if turn > begun then
    redis.call('SET', TURN, turn)
  end
  return found and redis.call('EXISTS', unpack(keys_of(QUEUE, 0))) > 0
end

local unusual = redis.call('EXISTS', SUSPENDED, ISOLATED) > 0
local suspended, alone = unusual and redis.call('EXISTS', SUSPENDED) or 0, 0
if want > 0 and suspended == 0 then
  redis.call('ZADD', LEASES, now + lease, worker)
  if unusual and redis.call('EXISTS', ISOLATED) == 1 and isolate() then
    alone = 1
  elseif claim_from_lines() then
    if #claimed >= want then
      wake() -- another worker may have room
    else
      next_due = now
    end
  end
end

local state = suspended == 1 and 'suspended' or in_flight + #claimed > 0 and 'busy' or 'idle'
if redis.call('HGET', WORKER .. worker, 'state') ~= state and redis.call('EXISTS', WORKER .. worker) == 1 then
  redis.call('HSET', WORKER .. worker, 'state', state)
end
if #claimed < want and alone == 0 and suspended == 0 then
  redis.call('SADD', WAITING, worker)
else
  redis.call('SREM', WAITING, worker)
end
return {answers, claimed, suspended, alone, next_due, now}
