-- Move a job along the table of states.py. ARGV: id, operation, table {from: to} as JSON, token ('' = asked for by people),
-- fields as JSON, events_kept, lease_ms, resend_ms, terminal states as JSON, leased states as JSON, counts ('1' = an attempt is lost),
-- only_if_lease_is_over ('1'), event data as JSON, model name ('' = none), version, model record: published in the same step.
-- Answers {'ok', state, token} | {'no', state} (the state refuses) | {'fenced', token} (another worker holds the job) | {'missing'} | {'held'}.
local id, operation, moves, token, fields = ARGV[1], ARGV[2], cjson.decode(ARGV[3]), ARGV[4], cjson.decode(ARGV[5])
local keep, lease_ms, resend_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local terminal, leased = cjson.decode(ARGV[9]), cjson.decode(ARGV[10])
local counts, only_lapsed, extra = ARGV[11] == '1', ARGV[12] == '1', cjson.decode(ARGV[13])
local model, version, record = ARGV[14], ARGV[15], ARGV[16]
local key = job_key(id)
local state = redis.call('HGET', key, 'state')
if not state then return {'missing'} end
local held = redis.call('HGET', key, 'token')
-- A client library may send a script again when it lost the answer: the second time changes nothing.
if redis.call('HGET', key, 'operation') == operation then return {'ok', state, held} end
if token ~= '' and token ~= held then return {'fenced', held} end
local at = now_ms()
if only_lapsed then
  local ends = redis.call('ZSCORE', P .. 'leases', id)
  -- a lease that ends far ahead was given before the clock was put back
  if ends and tonumber(ends) > at and tonumber(ends) < at + 10 * lease_ms then return {'held'} end
end
local to = moves[state]
if not to then return {'no', state} end
if to == state then return {'ok', state, held} end

local attempt = tonumber(redis.call('HGET', key, 'attempt'))
if counts then
  local most = tonumber(redis.call('HGET', key, 'max_attempts'))
  if to == 'queued' and attempt >= most then
    to = 'failed'
    local reason = extra['reason']
    local told = {
      data_folder_full = 'the data folder was full ',
      trainer_lost = 'its trainer crashed or was killed, as the system does when memory runs out, ',
    }
    local code = reason == 'data_folder_full' and reason or 'worker_lost'
    local detail = (told[reason] or 'the job lost its worker ') .. attempt .. ' times; max_attempts is ' .. most
    fields['error'] = cjson.encode({code = code, detail = detail})
  elseif to == 'queued' then
    attempt = attempt + 1
    redis.call('HSET', key, 'attempt', attempt)
  end
end

if model ~= '' then
  redis.call('HSET', P .. 'model:' .. model, 'v' .. version, record)
  redis.call('ZADD', P .. 'models', 0, model)
  fields['model'] = model .. '@' .. version
end
redis.call('HSET', key, 'state', to, 'operation', operation)
for name, value in pairs(fields) do redis.call('HSET', key, name, value) end
if extra['reason'] then redis.call('HSET', key, 'status_reason', extra['reason']) else redis.call('HDEL', key, 'status_reason') end
redis.call('ZREM', P .. 'jobs:' .. state, id)
redis.call('ZADD', P .. 'jobs:' .. to, 0, id)
if leased[to] then
  if not leased[state] then
    held = redis.call('HINCRBY', key, 'token', 1)
    redis.call('HSETNX', key, 'started_at', rfc3339(at))
    redis.call('ZADD', P .. 'leases', at + lease_ms, id)
  end
else
  redis.call('ZREM', P .. 'leases', id)
  redis.call('HDEL', key, 'worker')
end
if to == 'queued' then redis.call('ZADD', P .. 'unsent', at + resend_ms, id) else redis.call('ZREM', P .. 'unsent', id) end
if terminal[to] then
  redis.call('HSET', key, 'finished_at', rfc3339(at))
  redis.call('SADD', P .. 'unfiled', id)
end

extra['status'] = to
extra['attempt'] = attempt
append(id, 'status', cjson.encode(extra), at, keep)
if terminal[to] then append(id, 'done', cjson.encode({status = to}), at, keep) end
return {'ok', to, tostring(held)}
