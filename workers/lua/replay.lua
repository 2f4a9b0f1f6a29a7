#!lua flags=allow-oom
-- Put dead letters, and handled events that still have their body, back into line, each at the end of its lane.
-- ARGV: what handlers are told (JSON: id, reason, handlers; with handlers only those run), then job ids, in the order
--       in which they shall run.
-- Returns for every job 1 (put back), 0 (neither a dead letter nor handled, or gone) or -1 (its body is gone).
-- An event that was put back is no dead letter any more, so a replay that broke off is simply made again.

local replay, answers, now = ARGV[1], {}, now_ms()
local only = nil
for _, name in ipairs(cjson.decode(replay).handlers or {}) do
  only = only or {}
  only[name] = true
end

local function put_back(job)
  local status, queue, lane = unpack(redis.call('HMGET', JOB .. job, 'status', 'origin', 'lane'))
  local was_dead = status == 'failed'
  if not queue or not (was_dead or status == 'finished') then
    return 0
  end
  if redis.call('HEXISTS', JOB .. job, 'body') == 0 then
    return -1
  end
  redis.call('ZREM', (was_dead and FAILED or FINISHED) .. queue, job)
  revive(job, replay, was_dead, only)
  if not lane or lane == '' or redis.call('RPUSH', LANE .. lane, job) == 1 then
    line_up(job, queue)
  else
    defer(job, queue, now)
  end
  return 1
end

local put = 0
for i = 2, #ARGV do
  local answer = put_back(ARGV[i])
  answers[#answers + 1] = answer
  put = put + math.max(answer, 0)
end
if put > 0 then
  count(now, {replayed = put})
  wake()
end
return answers
