#!lua
-- Make events durable. One atomic step for a whole batch: duplicate? remember, write the RQ job, put it in line.
-- ARGV: deduplication window (s), how many events may wait, then for every event: event id, job id, lane, queue, body,
--       signature, type, metadata (JSON), digest of the human's answer it brings or '', traceparent or ''.
-- Returns for every event 1 (accepted), 0 (a duplicate) or -1 (too many wait). Refused as a whole when memory is full
-- (OOM).

-- Hand a new event to a worker that waits with a free slot, which saves it a round trip; false if there is none.
-- A worker whose connection breaks before it has read the message asks what it holds (`resync` in advance).
local function hand_over(job, queue, body, signature, now, time, traceparent)
  if redis.call('EXISTS', SUSPENDED) == 1 then
    return false
  end
  local worker = redis.call('SPOP', WAITING)
  while worker do
    local execution = execution_id(worker, redis.call('INCR', TURN))
    local message = cjson.encode({job, execution, body, signature, '', 1, '', time, traceparent})
    if redis.call('PUBLISH', WAKE .. worker, message) > 0 then
      write_claim(job, execution, queue, worker, now, time, 1)
      return true
    end
    worker = redis.call('SPOP', WAITING)
  end
  return false
end

-- How many events wait for a worker: in line, or for their turn in their session.
local function waiting()
  local total = 0
  for _, queue in ipairs(PRIORITY_QUEUES) do
    total = total + redis.call('LLEN', QUEUE .. queue) + redis.call('ZCARD', DEFERRED .. queue)
  end
  return total
end

-- Note in which delivery an event came again.
local function note_delivery(job, metadata, now)
  count_up(job, 'duplicates')
  local delivery = (decoded(metadata) or {}).delivery
  if delivery then
    local deliveries = decoded(redis.call('HGET', JOB .. job, 'deliveries')) or {}
    deliveries[#deliveries + 1] = {delivery, now}
    if #deliveries > 10 then
      table.remove(deliveries, 1)
    end
    redis.call('HSET', JOB .. job, 'deliveries', cjson.encode(deliveries))
  end
end

local window, exact, answers, accepted, duplicates = ARGV[1], now_exact(), {}, 0, 0
local now, room = math.floor(exact), ARGV[2] - waiting()

for i = 3, #ARGV, 10 do
  local event, job, lane, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if room <= 0 and redis.call('EXISTS', SEEN .. event, JOB .. job) == 0 then
    answers[#answers + 1] = -1
  -- A dead letter outlives the window: it must not be written over.
  elseif redis.call('SET', SEEN .. event, now, 'NX', 'EX', window) and redis.call('EXISTS', JOB .. job) == 0 then
    -- A microsecond apart, so that the times tell the order.
    local time = rq_time(exact + accepted / 1000)
    redis.call('HSET', JOB .. job, 'data', JOB_DATA, 'body', ARGV[i + 4], 'signature', ARGV[i + 5],
      'description', ARGV[i + 6], 'event', ARGV[i + 7], 'lane', lane, 'origin', queue, 'created_at', time,
      'enqueued_at', time)
    if ARGV[i + 9] ~= '' then
      redis.call('HSET', JOB .. job, 'traceparent', ARGV[i + 9])
    end
    -- A human's answer that has come before under another event id: whoever runs it must know.
    local digest = ARGV[i + 8]
    local copy_of = digest ~= '' and redis.call('SET', ANSWER .. digest, event, 'NX', 'GET', 'EX', window)
    if copy_of and copy_of ~= event then
      redis.call('HSET', JOB .. job, 'copy_of', copy_of)
    else
      copy_of = nil
    end
    redis.call('SADD', QUEUES, QUEUE .. queue)
    if lane == '' or redis.call('RPUSH', LANE .. lane, job) == 1 then
      if copy_of then
        line_up(job, queue)
        wake()
        room = room - 1
      elseif not hand_over(job, queue, ARGV[i + 4], ARGV[i + 5], now, time, ARGV[i + 9]) then
        line_up(job, queue)
        room = room - 1
      end
    else
      defer(job, queue, now)
      room = room - 1
    end
    accepted = accepted + 1
    answers[#answers + 1] = 1
  else
    if redis.call('EXISTS', JOB .. job) == 1 then
      note_delivery(job, ARGV[i + 7], now)
    end
    duplicates = duplicates + 1
    answers[#answers + 1] = 0
  end
end

count(now, {accepted = accepted, duplicates = duplicates})
return answers
