import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Upper bounds in seconds. */
const REQUEST_SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60, 300]

/** What a connection has carried so far, as a socket tells it. */
export interface Carried {
  bytesRead?: number
  bytesWritten?: number
}

/** The requests of one method to one endpoint. Plain numbers: those who scrape pay for the form that they want them in. */
interface Tally {
  route: string
  method: string
  inFlight: number
  received: number
  sent: number
  statuses: Map<string, number>
}

export type RequestMetrics = ReturnType<typeof createRequestMetrics>

/** Counts requests. A label is an endpoint's name and never a URL, so that their number has a bound. */
export function createRequestMetrics(register: Registry) {
  const registers = [register]
  const tallies = new Map<string, Tally>()
  const counted = new WeakMap<object, { received: number; sent: number }>()
  const seconds = new Histogram({
    registers,
    name: 'marina_http_request_duration_seconds',
    help: 'Time from the head of a request until its answer was sent or the connection broke.',
    labelNames: ['route', 'method'],
    buckets: REQUEST_SECONDS
  })
  exportTallies(registers, tallies)

  function tallyOf(route: string, method: string): Tally {
    const key = `${method} ${route}`
    let tally = tallies.get(key)
    if (!tally) {
      tally = { route, method, inFlight: 0, received: 0, sent: 0, statuses: new Map() }
      tallies.set(key, tally)
    }
    return tally
  }

  /** Counts what the connection has carried since it was last asked. */
  function addCarried(tally: Tally, socket: Carried): void {
    const { bytesRead: received = 0, bytesWritten: sent = 0 } = socket
    const before = counted.get(socket)
    tally.received += received - (before?.received ?? 0)
    tally.sent += sent - (before?.sent ?? 0)
    if (!before) return void counted.set(socket, { received, sent })
    before.received = received
    before.sent = sent
  }

  /** A request begins. What is returned is to be called when it is over, with its status. */
  function begin(route: string, method: string, socket: Carried): (status: string) => void {
    const tally = tallyOf(route, method)
    const startedAt = performance.now()
    tally.inFlight++
    return status => {
      tally.inFlight--
      tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + 1)
      addCarried(tally, socket)
      seconds.observe({ route, method }, (performance.now() - startedAt) / 1000)
    }
  }

  return { begin }
}

function exportTallies(registers: Registry[], tallies: ReadonlyMap<string, Tally>): void {
  new Counter({
    registers,
    name: 'marina_http_requests_total',
    help: 'Requests by endpoint, method and status; 499: the connection broke before the answer was sent.',
    labelNames: ['route', 'method', 'status'],
    collect() {
      this.reset()
      for (const { route, method, statuses } of tallies.values()) {
        for (const [status, count] of statuses) this.inc({ route, method, status }, count)
      }
    }
  })
  const bytes = (name: string, help: string, of: (tally: Tally) => number) =>
    new Counter({
      registers,
      name,
      help,
      labelNames: ['route', 'method'],
      collect() {
        this.reset()
        for (const tally of tallies.values()) this.inc({ route: tally.route, method: tally.method }, of(tally))
      }
    })
  bytes(
    'marina_http_received_bytes_total',
    'Bytes that came in with requests, heads included.',
    tally => tally.received
  )
  bytes('marina_http_sent_bytes_total', 'Bytes that went out with answers, heads included.', tally => tally.sent)
  new Gauge({
    registers,
    name: 'marina_http_requests_in_flight',
    help: 'Requests that are being answered.',
    labelNames: ['route', 'method'],
    collect() {
      this.reset()
      for (const { route, method, inFlight } of tallies.values()) this.set({ route, method }, inFlight)
    }
  })
}
