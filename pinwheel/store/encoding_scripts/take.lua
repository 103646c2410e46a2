-- Turns the ring until a model has requests, and takes the first of them, of as many callers as were asked for and fit.
local ready, gone = KEYS[1], KEYS[2]
local most, room = tonumber(ARGV[2]), tonumber(ARGV[3])
local some_gone = redis.call('EXISTS', gone) == 1
for _ = 1, redis.call('LLEN', ready) do
  local model = redis.call('LINDEX', ready, 0)
  local list, taken, dropped, callers, bytes = ARGV[1] .. model, {}, 0, 0, 0
  while callers < most do
    local raw = redis.call('LPOP', list)
    if not raw then
      break
    end
    if some_gone and redis.call('SREM', gone, string.sub(raw, 1, 32)) == 1 then
      redis.call('DEL', ARGV[4] .. string.sub(raw, 1, 32))
      dropped = dropped + tonumber(string.sub(raw, 33, 36))
    else
      callers = callers + tonumber(string.sub(raw, 33, 36))
      bytes = bytes + tonumber(string.sub(raw, 37, 48))
      if #taken > 0 and (callers > most or bytes > room) then
        redis.call('LPUSH', list, raw)
        break
      end
      taken[#taken + 1] = raw
    end
  end
  if redis.call('EXISTS', list) == 1 then
    redis.call('LMOVE', ready, ready, 'LEFT', 'RIGHT')
  else
    redis.call('LPOP', ready)
  end
  if dropped > 0 then
    redis.call('HINCRBY', ARGV[5], 'dropped', dropped)
  end
  if #taken > 0 then
    return taken
  end
end
return false
