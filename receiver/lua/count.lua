#!lua flags=allow-oom
-- Add to totals what a web process has counted. When memory is full too: that is what there is to count then.
-- ARGV: name, number, name, number, …

local numbers = {}
for i = 1, #ARGV, 2 do
  numbers[ARGV[i]] = tonumber(ARGV[i + 1])
end
count(now_ms(), numbers)
