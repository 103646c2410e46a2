-- Delete a finished job's record and log. ARGV: id, terminal states as JSON. Answers {'ok'} | {'no', state} | {'missing'}.
local id = ARGV[1]
local state = redis.call('HGET', job_key(id), 'state')
if not state then return {'missing'} end
if not cjson.decode(ARGV[2])[state] then return {'no', state} end
redis.call('ZREM', P .. 'jobs', id)
redis.call('SREM', P .. 'unfiled', id)
redis.call('ZREM', P .. 'jobs:' .. state, id)
redis.call('DEL', job_key(id), job_key(id) .. ':events')
return {'ok'}
