import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { requestLog } from '../src/logger.ts'
import { createFaultCounts, faultKind, withoutRepeats } from '../src/registry/fault-log.ts'
import { type StorageDriver, StorageError } from '../src/storage/driver.ts'
import { createMemory } from '../src/storage/memory.ts'
import { createLog, openSocket } from './plugins/edge.ts'
import { clientOf, htpasswdOf } from './support/callers.ts'
import { random } from './support/images.ts'
import { openRegistry } from './support/registry.ts'

/** GET /<status> answers with that status. */
function logged(t: Test, which: 'none' | 'errors' | 'all') {
  const { stream, lines } = createLog()
  const app = Fastify({
    logger: { level: 'info', stream },
    logController: requestLog({ logRequests: which, logLevel: 'info' })
  })
  app.get<{ Params: { status: string } }>(
    '/:status',
    async ({ params }, reply) => void reply.code(Number(params.status))
  )
  t.teardown(() => app.close())
  return { app, lines }
}

t.test('LOG_REQUESTS: one line for each request, when it has been answered', async t => {
  for (const [which, expected] of [
    ['all', [200, 304, 404, 500]],
    ['errors', [404, 500]],
    ['none', []]
  ] as const) {
    const { app, lines } = logged(t, which)
    for (const status of [200, 304, 404, 500]) t.equal((await app.inject(`/${status}`)).statusCode, status)
    t.strictSame(
      lines.map(({ res }) => (res as { statusCode: number }).statusCode),
      expected,
      which
    )
    for (const line of lines) {
      t.match(line, { level: 30, reqId: String, req: { method: 'GET', url: /^\/\d+$/ }, responseTime: Number })
    }
  }
})

type Line = Record<string, unknown> & { req: Record<string, unknown>; res: { statusCode: number } }

/** A registry where alice logs in, and the lines of its log about requests. */
async function open(t: Test, logRequests: 'errors' | 'all', storage: StorageDriver = createMemory()) {
  const folder = t.testdir({})
  writeFileSync(join(folder, 'users'), await htpasswdOf('alice'))
  const access = { htpasswdFile: join(folder, 'users'), anonymous: 'none' as const }
  const lines: Line[] = []
  const onLog = (line: Record<string, unknown>) => {
    if (line.msg === 'request completed') lines.push(line as Line)
  }
  const registry = await openRegistry(t, storage, { access, logRequests, onLog })
  return { registry, alice: clientOf(registry.send, 'alice'), lines }
}

t.test('15.21: a line tells who, with which client, how many bytes and how long', async t => {
  const { registry, alice, lines } = await open(t, 'all')
  const bytes = random(1234)
  const digest = await alice.pushBlob('app', bytes)
  await alice.send('GET', `/v2/app/blobs/${digest}`, { headers: { 'user-agent': 'crane/1' } })
  await alice.send('HEAD', `/v2/app/blobs/${digest}`, { headers: { 'user-agent': 'x'.repeat(5000) } })
  await registry.send('GET', '/v2/')
  const [pushed, pulled, looked, stranger] = [lines.find(({ bytesIn }) => bytesIn !== 0), ...lines.slice(-3)]
  t.match(pushed, { user: 'alice', bytesIn: 1234, bytesOut: 0 })
  t.match(pulled, {
    user: 'alice',
    bytesIn: 0,
    bytesOut: 1234,
    req: { userAgent: 'crane/1' },
    res: { statusCode: 200 }
  })
  t.match(looked, { bytesOut: 0, req: { method: 'HEAD', userAgent: 'x'.repeat(256) } })
  t.match(stranger, { user: undefined, res: { statusCode: 401 } })
  for (const { time, responseTime } of lines) {
    t.equal(new Date(String(time)).toISOString(), time)
    t.match(String(responseTime), /^\d+(\.\d)?$/)
  }
})

t.test('15.21: the length of each answer is in its line, over a real connection', async t => {
  const { registry, lines } = await open(t, 'all')
  // Not by inject(), whose response keeps headers that Fastify writes past a real one.
  const stranger = await registry.wire()
  const alice = clientOf(stranger.send, 'alice')
  const image = await alice.pushImage('app', 'v1')
  const paths = [
    ...['/v2/', '/v2/_catalog', '/v2/app/tags/list', `/v2/app/referrers/${image.digest}`, '/v2/app/nothing'],
    ...['/v2/app/manifests/v1', '/v2/app/manifests/v2', '/v2/app/manifests/%zz', '/v2/APP/tags/list']
  ]
  for (const { send } of [alice, stranger]) {
    for (const path of paths) {
      const before = lines.length
      const { status, body } = await send('GET', path)
      t.ok(body.length > 0, path)
      for (let turns = 0; turns < 1000 && lines.length === before; turns++) await nextTurn()
      t.match(
        lines.at(-1),
        { req: { url: path }, bytesOut: body.length, res: { statusCode: status } },
        `${path} ${status}`
      )
    }
  }
})

t.test('15.21: a body in chunks is counted, and a request whose connection breaks is a line too', async t => {
  const lines: Line[] = []
  let wake = () => {}
  const onLog = (line: Record<string, unknown>) => {
    if (line.msg === 'request completed') lines.push(line as Line)
    wake()
  }
  const { app } = await openRegistry(t, createMemory(), { logRequests: 'all', onLog })
  const begin = async () => {
    const { headers } = await app.inject({ method: 'POST', url: '/v2/app/blobs/uploads/' })
    const { socket } = await openSocket(app)
    const url = new URL(String(headers.location), 'http://a')
    socket.write(`PATCH ${url.pathname}${url.search} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`)
    socket.write('5\r\nwhole\r\n')
    return socket
  }
  const next = async (method: string) => {
    while (!lines.some(({ req }) => req.method === method)) await new Promise<void>(resolve => (wake = resolve))
    return lines.splice(0).at(-1)
  }
  const whole = await begin()
  whole.end('3\r\nend\r\n0\r\n\r\n')
  t.match(await next('PATCH'), { bytesIn: 8, bytesOut: 0, res: { statusCode: 202 } })
  const broken = await begin()
  await new Promise(resolve => broken.write('3\r\nmor', resolve))
  broken.destroy()
  t.match(await next('PATCH'), { res: { statusCode: 499 } })

  t.equal((await app.inject('/v2/%zz')).statusCode, 400)
  t.match(await next('GET'), { req: { url: '/v2/%zz' }, res: { statusCode: 400 } })
})

t.test('15.21: LOG_REQUESTS=errors leaves out what every push asks first', async t => {
  const { registry, alice, lines } = await open(t, 'errors')
  await registry.send('GET', '/v2/')
  await registry.send('HEAD', '/v2/app/manifests/v1')
  await alice.send('HEAD', `/v2/app/blobs/sha256:${'0'.repeat(64)}`)
  await alice.send('HEAD', '/v2/app/manifests/v1')
  await alice.pushImage('app', 'v1')
  t.strictSame(lines, [], 'a first push is no error')
  await alice.send('GET', '/v2/app/manifests/v2')
  await clientOf(registry.send, 'mallory').send('GET', '/v2/')
  t.match(
    lines.map(({ res }) => res.statusCode),
    [404, 401]
  )
})

t.test('15.21: on a terminal a request is one line, and what a user is called can not control it', async t => {
  const { stream, lines } = createLog()
  const app = Fastify({
    logger: { level: 'info', stream },
    logController: requestLog({ logRequests: 'all', logLevel: 'info' }, true)
  })
  t.teardown(() => app.close())
  app.decorateRequest('caller', undefined)
  app.get('/v2/*', async request => {
    request.caller = { user: 'al\u001b[2Jice' }
    return 'four'
  })
  await app.inject('/v2/app/manifests/v1?password=hush')
  const [{ msg, req, res }] = lines as [Record<string, unknown>]
  t.match(msg, /^GET \/v2\/app\/manifests\/v1 200, 4 bytes out, [\d.]+ ms, al\?\[2Jice$/)
  t.strictSame([req, res], [undefined, undefined])
})

t.test('15.21: a store that fails each request is one line, and then a count', async t => {
  const memory = createMemory()
  const broken: StorageDriver = {
    ...memory,
    list: () =>
      Promise.reject(new StorageError('failed', 'a disk', { cause: Object.assign(new Error(), { code: 'EIO' }) })),
    get: () => Promise.reject(new StorageError('unavailable', 'a key'))
  }
  const faults: Record<string, unknown>[] = []
  const onLog = (line: Record<string, unknown>) => {
    if (line.level === 50) faults.push(line)
  }
  const registry = await openRegistry(t, broken, { onLog, gcIntervalMs: 0 })
  const incidents = new Set<string>()
  for (let i = 0; i < 20; i++) {
    const answer = await registry.send('GET', '/v2/app/tags/list')
    t.equal(answer.status, 500)
    incidents.add(JSON.parse(answer.body.toString()).errors[0].detail.incident)
  }
  t.equal(incidents.size, 1, 'all are told the incident that the log has')
  t.match(faults, [{ incident: [...incidents][0], err: { message: /a disk/ } }])
  t.equal(faults.length, 1)
  await registry.app.close()
  t.match(faults.at(-1), { incident: [...incidents][0], code: 'EIO', count: 19, msg: /\(19 more in the last 10 s\)$/ })
  t.equal(faults.length, 2)
})

t.test('15.21: faults are counted by kind, in a bounded number, and a window without any ends', async t => {
  const due: (() => void)[] = []
  const counts = createFaultCounts({ schedule: done => void due.push(done) })
  const lines: [string, object, string][] = []
  const write = (level: string) => (fields: object, message: string) => void lines.push([level, fields, message])
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const quiet = withoutRepeats(log, counts)
  const err = new StorageError('full', 'x', { cause: Object.assign(new Error('y'), { code: 'ENOSPC' }) })
  t.strictSame(faultKind(err), { fault: 'full', code: 'ENOSPC' })
  for (let i = 0; i < 5; i++) quiet.warn({ err, repository: `r${i}` }, 'could not')
  quiet.warn({ err: new Error('a bug') }, 'could not')
  quiet.warn({ err: new Error('a bug') }, 'could not')
  quiet.info({ err }, 'could not')
  t.strictSame(
    lines.map(([level]) => level),
    ['warn', 'warn', 'warn', 'info']
  )
  lines.length = 0
  due.shift()!()
  t.strictSame(lines, [['warn', { fault: 'full', code: 'ENOSPC', count: 4 }, 'could not (4 more in the last 10 s)']])
  due.shift()!()
  t.equal(lines.length, 1, 'a quiet window is no line')
  quiet.warn({ err }, 'could not')
  t.equal(lines.length, 2, 'and the next fault is logged at once')
  due.length = 0
  for (let i = 0; i < 1000; i++) counts.add(`kind ${i}`, () => {})
  t.ok(due.length <= 101, 'kinds are bounded')
})
