-- Make a model visible and end its job, in one step. ARGV: job id, token, model name, version, record as JSON.
-- Answers {'ok'} | {'fenced', token}.
local id, token, name, version, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('HGET', job_key(id), 'token')
if held ~= token or not redis.call('ZSCORE', P .. 'leases', id) then return {'fenced', held} end
redis.call('HSET', P .. 'model:' .. name, 'v' .. version, record)
redis.call('ZADD', P .. 'models', 0, name)
redis.call('HSET', job_key(id), 'model', name .. '@' .. version)
return {'ok'}
