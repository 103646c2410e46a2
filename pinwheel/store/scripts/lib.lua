-- Shared by every script; the loader puts it in front. KEYS[1] is always the prefix; ids come in ARGV.
local P = KEYS[1]
local function job_key(id) return P .. 'job:' .. id end
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- RFC 3339 in UTC with milliseconds, from server milliseconds (civil-from-days, H. Hinnant).
local function rfc3339(ms)
  local s = math.floor(ms / 1000)
  local days = math.floor(s / 86400)
  local rest = s - days * 86400
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local d = doy - math.floor((153 * mp + 2) / 5) + 1
  local m = mp < 10 and mp + 3 or mp - 9
  local y = yoe + era * 400
  if m <= 2 then y = y + 1 end
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', y, m, d,
    math.floor(rest / 3600), math.floor(rest % 3600 / 60), rest % 60, ms % 1000)
end
-- Append one event; the number comes from the job itself, in the same script as what it tells of.
local function append(id, type_, data, at, keep)
  local seq = redis.call('HINCRBY', job_key(id), 'seq', 1)
  redis.call('XADD', job_key(id) .. ':events', 'MAXLEN', '~', keep, seq .. '-0', 'type', type_, 'time', rfc3339(at), 'data', data)
  redis.call('XADD', P .. 'activity', 'MAXLEN', '~', 10000, '*', 'job', id, 'seq', seq)
  return seq
end
