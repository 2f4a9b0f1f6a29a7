#!lua
-- Make events durable. One atomic step for a whole batch: duplicate? remember, write the RQ job, put it in line.
-- ARGV: deduplication window (s), then for every event: event id, job id, lane, queue, body, signature, type,
--       metadata (JSON).
-- Returns for every event 1 (accepted) or 0 (a duplicate). Refused as a whole when memory is full (OOM).

local window, exact, answers, accepted, ready = ARGV[1], now_exact(), {}, 0, false
local now = math.floor(exact)

for i = 2, #ARGV, 8 do
  local event, job, lane, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local fresh = redis.call('SET', SEEN .. event, now, 'NX', 'EX', window)
  -- A dead letter outlives the window: it must not be written over.
  if fresh and redis.call('EXISTS', JOB .. job) == 0 then
    -- A microsecond apart, so that the times tell the order.
    local time = rq_time(exact + accepted / 1000)
    redis.call('HSET', JOB .. job, 'data', JOB_DATA, 'body', ARGV[i + 4], 'signature', ARGV[i + 5],
      'description', ARGV[i + 6], 'event', ARGV[i + 7], 'lane', lane, 'origin', queue, 'created_at', time, 'enqueued_at', time)
    redis.call('SADD', QUEUES, QUEUE .. queue)
    if lane == '' or redis.call('RPUSH', LANE .. lane, job) == 1 then
      line_up(job, queue)
      ready = true
    else
      defer(job, queue, now)
    end
    accepted = accepted + 1
    answers[#answers + 1] = 1
  else
    if redis.call('EXISTS', JOB .. job) == 1 then
      redis.call('HINCRBY', JOB .. job, 'duplicates', 1)
    end
    answers[#answers + 1] = 0
  end
end

count(now, {accepted = accepted, duplicates = #answers - accepted})
if ready then
  wake()
end
return answers
