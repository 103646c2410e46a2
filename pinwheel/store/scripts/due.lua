-- Queued jobs whose message is to be sent (again); their next time is put off at once. ARGV: resend_ms, most.
-- Answers id, type, id, type, …
local at = now_ms()
local found = redis.call('ZRANGEBYSCORE', P .. 'unsent', '-inf', at, 'LIMIT', 0, ARGV[2])
local answer = {}
for _, id in ipairs(found) do
  redis.call('ZADD', P .. 'unsent', at + tonumber(ARGV[1]), id)
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGET', job_key(id), 'type')
end
return answer
