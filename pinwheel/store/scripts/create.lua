-- Write a new job, its place in the indexes and its first event. ARGV: id, resend_ms, events_kept, max_queued, number of things used,
-- the keys of those things (data sets and models that must exist), then field, value, … of the record.
local id, resend_ms, keep, max_queued, uses = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key = job_key(id)
if redis.call('EXISTS', key) == 1 then return {'ok'} end
if redis.call('ZCARD', P .. 'jobs:queued') >= max_queued then return {'full'} end
for i = 6, 5 + uses do
  local used, field = string.match(ARGV[i], '^(.*)#(.*)$')
  if redis.call('HEXISTS', used, field) == 0 then return {'missing', ARGV[i]} end
end
local fields = {}
for i = 6 + uses, #ARGV do fields[#fields + 1] = ARGV[i] end
local at = now_ms()
redis.call('HSET', key, 'state', 'queued', 'token', 0, 'attempt', 1, 'created_at', rfc3339(at), unpack(fields))
redis.call('ZADD', P .. 'jobs', 0, id)
redis.call('ZADD', P .. 'jobs:queued', 0, id)
redis.call('ZADD', P .. 'unsent', at + resend_ms, id)
append(id, 'status', cjson.encode({status = 'queued', attempt = 1}), at, keep)
return {'ok'}
