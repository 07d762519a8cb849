// The graph of Executors as SVG, and lines over time.

const SPACE = 'http://www.w3.org/2000/svg'
const WIDE = 190, HIGH = 84, GAP = 56, BESIDE = 22, END = 100, LOW = 40

export function svg(name, attributes = {}, text = null) {
  const made = document.createElementNS(SPACE, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  if (text !== null) made.textContent = text
  return made
}

export function number(value) {
  if (value === null || value === undefined) return '–'
  if (value === 0) return '0'
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

// Each node stands one layer behind the last of those that it needs.
function layersOf(nodes) {
  const depth = {}
  for (let round = 0; round <= nodes.length; round++)
    for (const node of nodes) depth[node.name] = Math.max(-1, ...node.needs.map((need) => depth[need] ?? 0)) + 1
  const layers = []
  for (const node of nodes) (layers[depth[node.name]] ??= []).push(node)
  return layers
}

export function drawGraph(place, nodes, outputs) {
  const upright = place.clientWidth < 640
  const all = outputs.length ? [...nodes, { name: '', end: true, needs: outputs }] : nodes
  const layers = layersOf(all)
  const most = Math.max(1, ...layers.map((layer) => layer.length))
  const spots = {}
  const along = upright ? HIGH + GAP : WIDE + GAP, across = upright ? WIDE + BESIDE : HIGH + BESIDE
  layers.forEach((layer, column) => layer.forEach((node, row) => {
    const far = column * along, beside = (row + (most - layer.length) / 2) * across
    spots[node.name] = upright ? { x: beside, y: far } : { x: far, y: beside }
  }))
  const less = outputs.length ? (upright ? HIGH - LOW : WIDE - END) : 0
  const length = layers.length * along - GAP - less + 4, breadth = most * across - BESIDE + 4
  const [width, height] = upright ? [breadth, length] : [length, breadth]
  const drawing = svg('svg', { viewBox: `-2 -2 ${width} ${height}`, width, height, role: 'img', 'aria-label': 'Graph of Executors' })
  const arrow = svg('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 8, refY: 4, markerWidth: 8, markerHeight: 8, orient: 'auto-start-reverse' })
  arrow.append(svg('path', { d: 'M0 0L8 4L0 8z', class: 'arrow' }))
  drawing.append(arrow)
  for (const node of all)
    for (const need of node.needs) {
      const from = spots[need], to = spots[node.name]
      if (from) drawing.append(edge(from, to, upright, node.floating, { 'data-from': need, 'data-to': node.name || 'response' }))
    }
  for (const node of all) drawing.append(node.end ? drawnEnd(spots[node.name], upright) : drawnNode(node, spots[node.name]))
  place.replaceChildren(drawing)
}

function edge(from, to, upright, floating, data) {
  const a = upright ? [from.x + WIDE / 2, from.y + HIGH] : [from.x + WIDE, from.y + HIGH / 2]
  const b = upright ? [to.x + WIDE / 2, to.y - 2] : [to.x - 2, to.y + HIGH / 2]
  const bend = upright ? `${a[0]} ${a[1] + GAP / 2} ${b[0]} ${b[1] - GAP / 2}` : `${a[0] + GAP / 2} ${a[1]} ${b[0] - GAP / 2} ${b[1]}`
  return svg('path', { class: floating ? 'edge floating' : 'edge', d: `M${a.join(' ')}C${bend} ${b.join(' ')}`, 'marker-end': 'url(#arrow)', ...data })
}

function drawnEnd({ x, y }, upright) {
  const [left, top] = upright ? [x + (WIDE - END) / 2, y] : [x, y + (HIGH - LOW) / 2]
  const group = svg('g', { class: 'node end', transform: `translate(${left} ${top})` })
  group.append(svg('rect', { width: END, height: LOW, rx: 8 }))
  group.append(svg('text', { x: END / 2, y: LOW / 2 + 4, 'text-anchor': 'middle' }, 'response'))
  return group
}

function drawnNode(node, { x, y }) {
  const { rate, errors, p95 } = node.figures
  const replicas = node.replicas.length ? node.replicas : node.processes
  const failing = errors > 0 || replicas.some((replica) => !replica.up)
  const kind = ['node', failing ? 'failing' : '', node.floating ? 'floating' : ''].join(' ')
  const group = svg('g', { class: kind, transform: `translate(${x} ${y})`, 'data-node': node.name })
  group.append(svg('rect', { width: WIDE, height: HIGH, rx: 8 }))
  const short = node.name.length > 21 ? `${node.name.slice(0, 20)}…` : node.name
  const name = svg('text', { x: 12, y: 22, class: 'name' }, short)
  name.append(svg('title', {}, node.name))
  group.append(name)
  group.append(svg('text', { x: 12, y: 41 }, `${number(rate)} req/s · p95 ${p95 === null ? '–' : `${number(p95)} ms`}`))
  const third = svg('text', { x: 12, y: 58 }, `queue ${node.queue ?? '–'} · `)
  third.append(svg('tspan', { class: errors > 0 ? 'alarm' : '' }, `${number(errors)} errors/s`))
  group.append(third)
  replicas.slice(0, 12).forEach((replica, index) => {
    const dot = svg('circle', { cx: 16 + index * 14, cy: 71, r: 4.5, class: replica.up ? 'up' : 'down' })
    dot.append(svg('title', {}, `${replica.address}: ${replica.up ? 'answers' : 'does not answer'}`))
    group.append(dot)
  })
  return group
}

// Lines over time; a value that isn't known leaves a gap.
export function drawLines(chart, lines, points) {
  const width = chart.clientWidth || 400, height = 130, left = 36, bottom = 18
  const highest = Math.max(...lines.flat().filter((value) => value !== null), 0) || 1
  const ten = 10 ** Math.floor(Math.log10(highest))
  const top = [1, 2, 4, 6, 8, 10].find((step) => step * ten >= highest) * ten
  chart.setAttribute('viewBox', `0 0 ${width} ${height}`)
  const x = (index) => left + (index / (points - 1)) * (width - left - 4)
  const y = (value) => 6 + (1 - value / top) * (height - bottom - 6)
  const parts = [0, top / 2, top].flatMap((value) => [
    svg('line', { x1: left, x2: width - 4, y1: y(value), y2: y(value), class: 'axis' }),
    svg('text', { x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, number(value)),
  ])
  parts.push(svg('text', { x: left, y: height - 3 }, `${points} s ago`), svg('text', { x: width - 4, y: height - 3, 'text-anchor': 'end' }, 'now'))
  lines.forEach((values, line) => {
    let run = []
    const end = () => { if (run.length) parts.push(svg('polyline', { points: run.join(' '), class: values.style })); run = [] }
    const first = points - values.length
    values.forEach((value, index) => { if (value === null) end(); else run.push(`${x(first + index).toFixed(1)},${y(value).toFixed(1)}`) })
    end()
  })
  chart.replaceChildren(...parts)
}
