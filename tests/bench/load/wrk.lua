-- wrk script: posts a prepared JSON body, if there is one, and prints the result as one JSON object.
local path = os.getenv('BENCH_PAYLOAD')
if path then
  local file = io.open(path, 'rb')
  wrk.method = 'POST'
  wrk.body = file:read('*a')
  wrk.headers['Content-Type'] = 'application/json'
  file:close()
end

done = function(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  print(string.format(
    '{"operations": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d, "first_error": "status %d, socket %d"}',
    summary.requests - e.status, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors, e.status, e.connect + e.read + e.write + e.timeout))
end
