#!lua flags=no-writes
-- Read what is known of some events, never a body. ARGV: number of fields, their names, then job ids.
-- Returns for every job the values of the fields, and the bytes of its body.

local number = tonumber(ARGV[1])
local fields, found = {}, {}
for i = 2, number + 1 do
  fields[#fields + 1] = ARGV[i]
end
for i = number + 2, #ARGV do
  local one = redis.call('HMGET', JOB .. ARGV[i], unpack(fields))
  one[number + 1] = redis.call('HSTRLEN', JOB .. ARGV[i], 'body')
  found[#found + 1] = one
end
return found
