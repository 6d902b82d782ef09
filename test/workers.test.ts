import { EventEmitter, once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { createCalls } from '../src/workers/calls.ts'
import { pauseAfter } from '../src/workers/slots.ts'
import { createSum, type Snapshot } from '../src/workers/sum.ts'
import { digestOf, random } from './support/images.ts'
import { cli } from './support/program.ts'
import { folder, type Run, refuses, run, start, until } from './support/server.ts'

interface Line {
  pid: number
  msg: string
  req?: { method: string; url: string }
}

/** The log's lines so far; a line that is not whole fails here. The last one may still be on its way. */
function linesOf({ out }: Run): Line[] {
  return out
    .slice(0, out.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line)
}

/** Where the monitors of a server listen. */
async function monitorOf(server: Run): Promise<string> {
  return until('the metrics', () => /"metrics at (http:[^"]+)\/metrics"/.exec(server.out)?.[1])
}

async function counted(url: string, name: string): Promise<number> {
  // Over a connection of its own: a machine that is busy leaves a kept one idle for longer than the server keeps it.
  const [answer] = (await once(get(`${url}/metrics`, { agent: false }), 'response')) as [IncomingMessage]
  const values = (await text(answer)).split('\n').filter(line => line.startsWith(name))
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Sends a chunk over a connection of its own, so that any worker may get it. Returns where the upload goes on. */
async function send(method: string, url: URL, body: Uint8Array, status: number): Promise<URL> {
  const answer = await fetch(url, {
    method,
    body: Buffer.from(body),
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(20_000)
  })
  if (answer.status !== status) throw new Error(`${method} ${url.pathname}: ${answer.status} ${await answer.text()}`)
  return new URL(answer.headers.get('location') ?? '', url)
}

t.test(
  'workers share a port; an upload goes on when the one that had it is killed, and another takes its place',
  async t => {
    const server = await start(t, { WORKERS: '2', METRICS_PORT: '0', METRICS: 'true' })
    const base = `http://127.0.0.1:${server.port}`
    const monitor = await monitorOf(server)
    await until('two workers', async () => (await counted(monitor, 'marina_workers')) === 2)

    const bytes = random(300_000)
    const begun = await send('POST', new URL(`${base}/v2/a/blobs/uploads/`), Buffer.alloc(0), 202)
    let next = await send('PATCH', begun, bytes.subarray(0, 100_000), 202)
    const had = await until('its line', () => linesOf(server).find(({ req }) => req?.method === 'PATCH'))
    t.not(had.pid, server.pid, 'no request passes through the primary')
    t.equal(await counted(monitor, 'marina_http_requests_total'), 2, 'metrics are those of both')

    process.kill(had.pid, 'SIGKILL')
    // A connection that the primary was just handing over would wait for its client to give up.
    await until('the end of the worker', () => server.out.includes('a worker ended'))
    next = await send('PATCH', next, bytes.subarray(100_000, 200_000), 202)
    next.searchParams.set('digest', digestOf(bytes))
    await send('PUT', next, bytes.subarray(200_000), 201)
    const blob = await fetch(`${base}/v2/a/blobs/${digestOf(bytes)}`)
    t.ok(Buffer.from(await blob.arrayBuffer()).equals(bytes))
    const others = new Set(linesOf(server).flatMap(({ pid, req }) => (req ? [pid] : [])))
    t.ok(others.size >= 2, 'by another process')

    await until('two workers again', async () => (await counted(monitor, 'marina_workers')) === 2)
    t.match(server.out, /"pid":\d+[^\n]*"ended":"SIGKILL","msg":"a worker ended: another takes its place"/)
    const onMain = await (await fetch(`${base}/metrics`)).text()
    t.match(onMain, /^marina_http_requests_total\{.*method="PATCH".*\} 2$/m, 'what the dead one counted is not lost')
    t.equal((await fetch(`${monitor}/readyz`)).status, 200)
    t.equal(linesOf(server).filter(({ msg }) => msg.startsWith('listening at')).length, 1, 'one line says where')

    server.kill('SIGTERM')
    t.equal(await server.exited, 0)
    t.equal(server.err, '')
    t.equal(linesOf(server).filter(({ msg }) => msg.startsWith('SIGTERM: closing')).length, 1)
  }
)

/** Holds a PATCH open: its worker has begun to read it when this resolves. Returns what sends the rest, and its status. */
async function held(base: string): Promise<() => Promise<number>> {
  const location = await send('POST', new URL(`${base}/v2/a/blobs/uploads/`), Buffer.alloc(0), 202)
  let release = (): void => {}
  const rest = new Promise<void>(resolve => {
    release = resolve
  })
  async function* chunks() {
    yield Buffer.from('first')
    await rest
    yield Buffer.from('second')
  }
  const answer = fetch(location, { method: 'PATCH', body: chunks(), duplex: 'half' } as RequestInit)
  await sleep(300)
  return async () => {
    release()
    return (await answer).status
  }
}

t.test('a signal that all processes get lets requests finish; probes are told meanwhile', async t => {
  const server = await start(t, { WORKERS: '2', METRICS_PORT: '0', LOG_REQUESTS: 'none' })
  const monitor = await monitorOf(server)
  await until('two workers', async () => (await counted(monitor, 'marina_workers')) === 2)
  const finish = await held(`http://127.0.0.1:${server.port}`)
  const workers = await childrenOf(server.pid)
  t.equal(workers.length, 2)
  // As a terminal does it, or a service manager.
  for (const pid of [...workers, server.pid]) process.kill(pid, 'SIGINT')
  await until('a refused connection', () => refuses(server.port))
  t.equal((await fetch(`${monitor}/readyz`)).status, 503)
  t.equal((await fetch(`${monitor}/livez`)).status, 200)
  t.equal(await finish(), 202)
  t.equal(await server.exited, 0)
  for (const pid of workers) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

t.test('15.0: a worker whose event loop stands still is killed and replaced; one that is busy stays', async t => {
  const server = await start(t, { WORKERS: '2', METRICS_PORT: '0', METRICS: 'true', WORKER_TIMEOUT: '2s' })
  const monitor = await monitorOf(server)
  const workers = await until('two workers', async () => {
    const pids = await childrenOf(server.pid)
    return pids.length === 2 && (await counted(monitor, 'marina_workers')) === 2 && pids
  })
  // Nothing of its JavaScript runs any more, and its end of the socket still takes connections.
  process.kill(workers[1]!, 'SIGSTOP')
  const line = await until('its line', () =>
    linesOf(server).find(({ msg }) => msg.startsWith('a worker has not answered'))
  )
  t.match(line.msg, /^a worker has not answered for 2 s \(WORKER_TIMEOUT\): it is killed$/)
  await until('its end', () => !isThere(workers[1]!))
  await until('another worker', async () => {
    const pids = await childrenOf(server.pid)
    return pids.length === 2 && !pids.includes(workers[1]!)
  })
  t.ok(isThere(workers[0]!), 'one that answers stays')
  await until('two workers again', async () => (await counted(monitor, 'marina_workers')) === 2)
})

t.test('workers end when the primary is killed', async t => {
  const server = await start(t, { WORKERS: '2' })
  const workers = await until('two workers', async () => {
    const pids = await childrenOf(server.pid)
    return pids.length === 2 && pids
  })
  server.kill('SIGKILL')
  for (const pid of workers) await until('the end of a worker', () => !isThere(pid))
  t.pass()
})

t.test('what stops the start is one line, from one worker', async t => {
  const file = join(folder(t), 'file')
  writeFileSync(file, '')
  const noFolder = run(t, { WORKERS: '3', PORT: '0', STORAGE_PATH: join(file, 'registry') })
  t.equal(await noFolder.exited, 1)
  t.match(noFolder.err, /^STORAGE_PATH is "[^\n]*; allowed: [^\n]*\n$/)

  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as { port: number }
  const taken = run(t, { WORKERS: '2', PORT: String(port), HOST: '127.0.0.1', STORAGE_PATH: folder(t) })
  t.equal(await taken.exited, 1)
  t.match(taken.err, new RegExp(`^PORT is ${port}, [^\\n]*; allowed: [^\\n]*\\n$`))
})

t.test('workers that end at once are replaced more and more slowly', async t => {
  let pause = 0
  const pauses = [100, 100, 100, 100, 100, 100, 100].map(lived => (pause = pauseAfter(lived, pause)))
  t.strictSame(pauses, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  t.equal(pauseAfter(60_000, pause), 0, 'one that worked for a while at once')
})

t.test('the sum of counters never falls, whatever ends or does not answer', async t => {
  const makeWorker = () => {
    const register = new Registry()
    const registers = [register]
    const requests = new Counter({ registers, name: 'requests_total', help: 'x', labelNames: ['route'] })
    const seconds = new Histogram({ registers, name: 'seconds', help: 'x', buckets: [1] })
    const workers = new Gauge({ registers, name: 'workers', help: 'x' })
    workers.set(1)
    return { register, requests, seconds }
  }
  const workers = new Map([1, 2].map(id => [id, makeWorker()]))
  let silent: number | undefined
  const sum = createSum(async () => {
    const told = new Map<number, Snapshot | undefined>()
    for (const [id, { register }] of workers) {
      told.set(id, id === silent ? undefined : ((await register.getMetricsAsJSON()) as unknown as Snapshot))
    }
    return told
  })
  const look = async (line: string) => (await sum.text()).split('\n').find(one => one.startsWith(line))
  workers.get(1)!.requests.inc({ route: 'blob' }, 5)
  workers.get(2)!.requests.inc({ route: 'blob' }, 7)
  workers.get(2)!.seconds.observe(0.5)
  t.equal(await look('requests_total{'), 'requests_total{route="blob"} 12')
  t.equal(await look('workers'), 'workers 2')
  silent = 2
  t.equal(await look('requests_total{'), 'requests_total{route="blob"} 12', 'one that does not answer counts as before')
  await sum.retire(2)
  workers.delete(2)
  t.equal(await look('requests_total{'), 'requests_total{route="blob"} 12', 'nor is what a dead one did undone')
  t.equal(await look('seconds_count'), 'seconds_count 1')
  t.equal(await look('workers'), 'workers 1', 'a gauge is of those who live')
  workers.set(3, makeWorker())
  workers.get(3)!.requests.inc({ route: 'blob' })
  t.equal(await look('requests_total{'), 'requests_total{route="blob"} 13')
})

t.test('questions between processes are answered, or given up', async t => {
  const [here, there] = [new EventEmitter(), new EventEmitter()]
  const channel = (from: EventEmitter, to: EventEmitter) =>
    Object.assign(from, { send: (message: unknown) => setImmediate(() => to.emit('message', message)) })
  createCalls(channel(there, here), { double: given => Number(given) * 2, never: () => new Promise(() => {}) })
  const { ask } = createCalls(channel(here, there), {})
  t.strictSame(await Promise.all([ask('double', 1), ask('double', 2)]), [2, 4])
  await t.rejects(ask('never', undefined, 30), /no answer/)
  here.emit('message', 'what others send')
  here.emit('message', null)
  here.emit('message', { told: 99, value: 1 })
  t.equal(await ask('double', 3), 6)
})

/** The processes that a server has forked. */
async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const found: number[] = []
  for (const child of children.trim().split(' ').filter(Boolean).map(Number)) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(cli.at(-1)!)) found.push(child)
  }
  return found
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
