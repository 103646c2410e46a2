-- Queued jobs whose message is to be sent (again); their next time is put off at once. ARGV: resend_ms, most.
-- Answers id, type, id, type, …
local at = now_ms()
local found = redis.call('ZRANGEBYSCORE', P .. 'unsent', '-inf', at, 'LIMIT', 0, ARGV[2])
if #found == 0 then -- a time far ahead was set before the clock was put back
  found = redis.call('ZRANGEBYSCORE', P .. 'unsent', at + 10 * tonumber(ARGV[1]), '+inf', 'LIMIT', 0, ARGV[2])
end
local answer = {}
for _, id in ipairs(found) do
  redis.call('ZADD', P .. 'unsent', at + tonumber(ARGV[1]), id)
  answer[#answer + 1] = id
  answer[#answer + 1] = redis.call('HGET', job_key(id), 'type')
end
return answer
