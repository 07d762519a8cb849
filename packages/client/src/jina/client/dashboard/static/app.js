// Asks for the overview every second and shows it.

import { drawGraph, drawLines, number } from './graph.js'
import { startPlayground } from './playground.js'

const EVERY_MS = 1000, POINTS = 180
const byId = (id) => document.getElementById(id)
const past = { rate: [], errors: [], p50: [], p95: [], p99: [] }
const styles = { rate: 's1', errors: 's4', p50: 's1', p95: 's2', p99: 's3' }
let last = null

function made(name, text, style = '') {
  const element = document.createElement(name)
  element.textContent = text
  if (style) element.className = style
  return element
}

function tile(id, value, unit, alarm = false) {
  const place = byId(id)
  place.replaceChildren(number(value))
  if (value !== null && unit) place.append(made('small', unit))
  place.classList.toggle('bad', alarm)
}

function showState(overview) {
  const pill = byId('ready')
  pill.textContent = overview.ready ? 'ready' : 'not ready'
  pill.className = `pill ${overview.ready ? 'good' : 'bad'}`
  byId('failure').hidden = overview.ready
  byId('failure').textContent = overview.error
  byId('target').textContent = overview.target
  document.title = `${overview.ready ? '' : '⚠ '}${overview.target} – jina dashboard`
  byId('notes').hidden = !overview.notes.length
  byId('notes').replaceChildren(...overview.notes.map((note) => made('li', note)))
  byId('window').textContent = overview.window
}

function showTotals(entry) {
  const figures = entry?.figures ?? {}
  tile('rate', figures.rate ?? null, '/s')
  tile('errors', figures.errors ?? null, '/s', figures.errors > 0)
  for (const name of ['p50', 'p95', 'p99']) tile(name, figures[name] ?? null, 'ms')
  byId('queue').textContent = entry?.queue ?? '–'
  for (const [name, values] of Object.entries(past)) {
    values.push(figures[name] ?? null)
    if (values.length > POINTS) values.shift()
    values.style = styles[name]
  }
}

function dotted(replica, text) {
  const line = made('span', '', 'replica')
  line.append(made('i', '', `dot ${replica.up ? 'up' : 'down'}`), text)
  line.title = replica.up ? 'answers' : 'does not answer'
  return line
}

function row(node) {
  const { rate, errors, failed, p50, p95, p99 } = node.figures
  const line = document.createElement('tr')
  line.dataset.node = node.name
  const cells = [node.name, number(rate), number(errors), failed ?? '–', number(p50), number(p95), number(p99), node.queue ?? '–']
  line.append(...cells.map((text) => made('td', text)))
  if (errors > 0) line.children[2].className = 'bad'
  const replicas = document.createElement('td')
  for (const replica of node.replicas) {
    const state = replica.up ? '' : ', down'
    const busy = replica.in_flight === null ? '' : ` · ${number(replica.rate)}/s · ${replica.in_flight} under way`
    replicas.append(dotted(replica, `${replica.address}${state}${busy}`))
  }
  if (!node.replicas.length) for (const process of node.processes) replicas.append(dotted(process, process.name || process.address))
  line.append(replicas)
  return line
}

function showAll() {
  drawGraph(byId('graph'), last.nodes, last.outputs)
  drawLines(byId('rate-chart'), [past.rate, past.errors], POINTS)
  drawLines(byId('latency-chart'), [past.p50, past.p95, past.p99], POINTS)
}

async function update() {
  try {
    const answer = await fetch('api/overview')
    last = await answer.json()
    showState(last)
    showTotals(last.nodes[0])
    byId('executors').tBodies[0].replaceChildren(...last.nodes.map(row))
    showAll()
  } catch (error) {
    byId('ready').textContent = 'the dashboard is gone'
    byId('ready').className = 'pill bad'
  }
  setTimeout(update, EVERY_MS)
}

addEventListener('resize', () => last && showAll())
update()
startPlayground()
