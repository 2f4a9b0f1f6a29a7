#!lua flags=allow-oom
-- Forget dead letters for good. Their ids stay known as long as any accepted event's, so none comes in again.
-- ARGV: job ids. Returns for every job 1 (discarded) or 0 (no dead letter, or gone).

local answers, discarded = {}, 0
for i, job in ipairs(ARGV) do
  local status, queue = unpack(redis.call('HMGET', JOB .. job, 'status', 'origin'))
  answers[i] = status == 'failed' and queue and 1 or 0
  if answers[i] == 1 then
    forget_event(FAILED, queue, job)
    discarded = discarded + 1
  end
end
if discarded > 0 then
  count(now_ms(), {discarded = discarded})
end
return answers
