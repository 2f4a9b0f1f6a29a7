#!lua
-- Make events durable. One atomic step for a whole batch: duplicate? remember, write the RQ job, put it in line.
-- ARGV: deduplication window (s), then for every event: event id, job id, lane, queue, body, signature, description.
-- Returns for every event 1 (accepted) or 0 (a duplicate). Refused as a whole when memory is full (OOM).

local window, now, answers, accepted, ready = ARGV[1], now_ms(), {}, 0, false
local time = rq_time(now)

for i = 2, #ARGV, 7 do
  local event, job, lane, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local fresh = redis.call('SET', SEEN .. event, now, 'NX', 'EX', window)
  -- A dead letter outlives the window: it must not be written over.
  if fresh and redis.call('EXISTS', JOB .. job) == 0 then
    redis.call('HSET', JOB .. job, 'data', JOB_DATA, 'body', ARGV[i + 4], 'signature', ARGV[i + 5],
      'description', ARGV[i + 6], 'lane', lane, 'origin', queue, 'created_at', time, 'enqueued_at', time)
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
    answers[#answers + 1] = 0
  end
end

redis.call('HINCRBY', COUNTERS, 'accepted', accepted)
redis.call('HINCRBY', COUNTERS, 'duplicates', #answers - accepted)
if ready then
  wake()
end
return answers
