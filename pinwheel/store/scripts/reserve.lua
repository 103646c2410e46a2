-- The version number that a job will publish: the same one for every attempt, so that no number is lost.
-- ARGV: job id, token, model name. Answers {'ok', version} | {'fenced', token}.
local id, token, name = ARGV[1], ARGV[2], ARGV[3]
local key = job_key(id)
local held = redis.call('HGET', key, 'token')
if held ~= token or not redis.call('ZSCORE', P .. 'leases', id) then return {'fenced', held} end
local version = redis.call('HGET', key, 'version')
if not version then
  version = tostring(redis.call('HINCRBY', P .. 'model:' .. name, 'reserved', 1))
  redis.call('HSET', key, 'version', version)
end
return {'ok', version}
