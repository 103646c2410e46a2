-- Puts one request on its model's list, and the model on the ring unless it is there.
local ready, list = KEYS[1], ARGV[1] .. ARGV[2]
if redis.call('LLEN', list) >= tonumber(ARGV[5]) then
  return -1
end
local waiting = redis.call('RPUSH', list, ARGV[3])
redis.call('EXPIRE', list, ARGV[4])
if not redis.call('LPOS', ready, ARGV[2]) then
  redis.call('RPUSH', ready, ARGV[2])
end
return waiting
