-- The holder of a lease lives: extend it and write what it reports. ARGV: id, token, report number, lease_ms, events_kept, fields as
-- JSON, then type, step, data for each event. A step that was reported before, by an attempt that died, is not reported again.
-- Answers {'ok', state} | {'fenced', token} | {'missing'}.
local id, token, report, lease_ms, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local key = job_key(id)
local state = redis.call('HGET', key, 'state')
if not state then return {'missing'} end
local held = redis.call('HGET', key, 'token')
if held ~= token or not redis.call('ZSCORE', P .. 'leases', id) then return {'fenced', held} end
local at = now_ms()
redis.call('ZADD', P .. 'leases', at + lease_ms, id)
if redis.call('HGET', key, 'report') == token .. ':' .. report then return {'ok', state} end
redis.call('HSET', key, 'report', token .. ':' .. report)
for name, value in pairs(cjson.decode(ARGV[6])) do redis.call('HSET', key, name, value) end
for i = 7, #ARGV, 3 do
  local type_, step, data = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local last = redis.call('HGET', key, 'last_' .. type_)
  if step == '' or not last or tonumber(step) > tonumber(last) then
    append(id, type_, data, at, keep)
    if step ~= '' then redis.call('HSET', key, 'last_' .. type_, step) end
  end
end
return {'ok', state}
