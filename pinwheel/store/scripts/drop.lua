-- Delete a data set or a model version unless a live job uses it. ARGV: what a job's `uses` names it by ("key#field"),
-- the index to take the id from, id, the hash of digests ('' = none), digest, live states as JSON list, then the fields to
-- delete (none = the whole key). Answers {'ok'} | {'used', job id} | {'missing'}.
local named, index, id, digests, digest, states = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], cjson.decode(ARGV[6])
local key, field = string.match(named, '^(.*)#(.*)$')
if redis.call('HEXISTS', key, field) == 0 then return {'missing'} end
for _, state in ipairs(states) do
  for _, job in ipairs(redis.call('ZRANGE', P .. 'jobs:' .. state, 0, -1)) do
    for _, used in ipairs(cjson.decode(redis.call('HGET', job_key(job), 'uses') or '[]')) do
      if used == named then return {'used', job} end
    end
  end
end
if #ARGV > 6 then
  for i = 7, #ARGV do redis.call('HDEL', key, ARGV[i]) end
else
  redis.call('DEL', key)
end
-- A model stays in its index while it has another version.
local left = false
for _, name in ipairs(redis.call('HKEYS', key)) do left = left or string.match(name, '^v%d+$') end
if not left then redis.call('ZREM', index, id) end
if digests ~= '' and redis.call('HGET', digests, digest) == id then redis.call('HDEL', digests, digest) end
return {'ok'}
