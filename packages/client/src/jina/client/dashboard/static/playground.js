// A form for each endpoint, made from its JSON schema, and what comes back.

const byId = (id) => document.getElementById(id)
let endpoints = {}
let readers = { data: () => ({}), parameters: () => null }
let running = null

function resolved(schema, root) {
  while (schema?.$ref) schema = schema.$ref.split('/').slice(1).reduce((at, key) => at?.[key], root)
  if (!schema) return {}
  const choices = (schema.anyOf ?? schema.allOf ?? []).map((one) => resolved(one, root)).filter((one) => one.type !== 'null')
  return choices.length === 1 ? { ...choices[0], ...schema, type: schema.type ?? choices[0].type, optional: Boolean(schema.anyOf) } : schema
}

function example(schema, root, depth = 0) {
  const { type, properties, default: given, examples, enum: values, const: only } = resolved(schema, root)
  if (given !== undefined && given !== null) return given
  if (examples?.length) return examples[0]
  if (values) return values[0]
  if (only !== undefined) return only
  if (type === 'string') return ''
  if (type === 'integer' || type === 'number') return 0
  if (type === 'boolean') return false
  if (type === 'array') return []
  if (properties && depth < 3) {
    const filled = Object.entries(properties).filter(([name, value]) => name !== 'id' && !resolved(value, root).optional)
    return Object.fromEntries(filled.map(([name, value]) => [name, example(value, root, depth + 1)]))
  }
  return type === 'object' ? {} : null
}

function field(name, schema, root, required, prefix) {
  const known = resolved(schema, root)
  const box = document.createElement('div')
  box.className = 'field'
  const label = document.createElement('label')
  const id = `${prefix}-${name}`
  label.htmlFor = id
  label.textContent = name
  const remark = document.createElement('small')
  remark.textContent = [known.description, required ? 'required' : ''].filter(Boolean).join(' · ')
  label.append(remark)
  const start = example(known, root)
  const { input, read } = inputFor(known, start, required)
  input.id = id
  input.name = name
  box.append(label, input)
  return { box, read: () => {
    try { return read() } catch (error) { throw new Error(`${name}: ${error.message}`) }
  } }
}

function inputFor(known, start, required) {
  let input = document.createElement('input')
  const text = () => input.value === '' && !required ? undefined : input.value
  if (known.enum) {
    input = document.createElement('select')
    input.append(...known.enum.map((value, index) => new Option(String(value), index)))
    return { input, read: () => known.enum[Number(input.value)] }
  }
  if (known.type === 'boolean') {
    input.type = 'checkbox'
    input.checked = start === true
    return { input, read: () => input.checked }
  }
  if (known.type === 'integer' || known.type === 'number') {
    input.type = 'number'
    input.step = known.type === 'integer' ? '1' : 'any'
    input.value = known.optional && known.default == null ? '' : start
    return { input, read: () => input.value === '' ? undefined : Number(input.value) }
  }
  if (known.type === 'string') {
    input.value = start ?? ''
    return { input, read: text }
  }
  input = document.createElement('textarea')
  input.rows = 2
  input.spellcheck = false
  input.value = known.optional && known.default == null ? '' : JSON.stringify(start)
  return { input, read: () => input.value.trim() === '' ? undefined : JSON.parse(input.value) }
}

function form(title, schema, prefix) {
  const root = schema, known = resolved(schema, root)
  const box = document.createElement('fieldset')
  const legend = document.createElement('legend')
  legend.textContent = known.title ? `${title} (${known.title})` : title
  box.append(legend)
  const required = new Set(known.required ?? [])
  const fields = {}
  // the order of fields gets lost on the way: those that must be there come first
  const sorted = Object.entries(known.properties ?? {}).sort(
    ([a], [b]) => required.has(b) - required.has(a) || a.localeCompare(b))
  for (const [name, value] of sorted) {
    if (name === 'id' && !required.has('id')) continue
    fields[name] = field(name, value, root, required.has(name), prefix)
    box.append(fields[name].box)
  }
  return { box, read: () => {
    const values = Object.entries(fields).map(([name, one]) => [name, one.read()])
    return Object.fromEntries(values.filter(([, value]) => value !== undefined))
  } }
}

function choose(name) {
  const { input, parameters } = endpoints[name]
  const parts = [form('Document', input ?? {}, 'doc')]
  readers = { data: parts[0].read, parameters: () => null }
  if (parameters) {
    parts.push(form('Parameters', parameters, 'param'))
    readers.parameters = parts[1].read
  }
  byId('fields').replaceChildren(...parts.map((part) => part.box))
  byId('data').value = JSON.stringify([example(input ?? {}, input ?? {}) ?? {}], null, 2)
  byId('parameters').value = parameters ? JSON.stringify(example(parameters, parameters), null, 2) : ''
  const plain = !Object.keys(resolved(input ?? {}, input ?? {}).properties ?? {}).length
  show(plain)
}

function show(json) {
  byId('fields').hidden = json
  byId('json').hidden = !json
  byId('as-form').setAttribute('aria-pressed', String(!json))
  byId('as-json').setAttribute('aria-pressed', String(json))
}

function asJson() {
  try {
    byId('data').value = JSON.stringify([readers.data()], null, 2)
    const parameters = readers.parameters()
    if (parameters) byId('parameters').value = JSON.stringify(parameters, null, 2)
  } catch { /* what isn't right yet stays in the form */ }
  show(true)
}

function request() {
  const endpoint = byId('endpoint').value
  if (byId('json').hidden) return { endpoint, data: readers.data(), parameters: readers.parameters() }
  const parsed = (id) => {
    const text = byId(id).value.trim()
    try { return text ? JSON.parse(text) : null } catch (error) { throw new Error(`${id}: ${error.message}`) }
  }
  return { endpoint, data: parsed('data'), parameters: parsed('parameters') }
}

function fail(message) {
  byId('call-error').hidden = !message
  byId('call-error').textContent = message
}

async function readLines(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const lines = (rest + value).split('\n')
    rest = lines.pop()
    lines.filter(Boolean).forEach((line) => take(JSON.parse(line)))
  }
}

async function send(event) {
  event.preventDefault()
  fail('')
  byId('answer').textContent = ''
  byId('took').textContent = ''
  running = new AbortController()
  byId('send').disabled = true
  byId('stop').hidden = false
  const began = performance.now()
  let number = 0
  try {
    const answer = await fetch('api/call', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(request()), signal: running.signal,
    })
    if (!answer.ok) throw new Error((await answer.json()).error)
    await readLines(answer.body, (line) => {
      if (line.error) fail(line.error)
      if (!line.doc) return
      number += 1
      byId('answer').append(`${JSON.stringify(line.doc, null, 2)}\n`)
      byId('answer').scrollTop = byId('answer').scrollHeight
    })
  } catch (error) {
    if (error.name !== 'AbortError') fail(error.message)
  }
  byId('took').textContent = `${number} document${number === 1 ? '' : 's'}, ${(performance.now() - began).toFixed(0)} ms`
  byId('send').disabled = false
  byId('stop').hidden = true
}

async function load() {
  const answer = await fetch('api/endpoints').catch(() => null)
  const told = answer ? await answer.json() : { error: 'the dashboard is gone' }
  if (!answer?.ok) {
    fail(told.error)
    byId('send').disabled = true
    setTimeout(load, 3000)
    return
  }
  fail('')
  byId('send').disabled = false
  endpoints = told
  const names = Object.keys(endpoints).sort()
  byId('endpoint').replaceChildren(...names.map((name) => new Option(endpoints[name].streams ? `${name} (streams)` : name, name)))
  if (names.length) choose(names[0])
}

export function startPlayground() {
  byId('endpoint').addEventListener('change', (event) => choose(event.target.value))
  byId('as-form').addEventListener('click', () => show(false))
  byId('as-json').addEventListener('click', asJson)
  byId('playground').addEventListener('submit', send)
  byId('stop').addEventListener('click', () => running?.abort())
  load()
}
