import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { hashPassword } from '../../src/access/passwords.ts'
import marina from '../../src/index.ts'
import { StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { createAuthority } from '../support/certificates.ts'
import { createClient, overInject } from '../support/client.ts'
import { absent, digestOf, random } from '../support/images.ts'
import { onEachDriver, openRegistry } from '../support/registry.ts'
import { openSocket } from './edge.ts'

/** The values of an exposition, by name and labels as Prometheus writes them. */
function valuesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))])
  )
}

/** Sums the values of a metric whose labels hold these. */
function total(values: Map<string, number>, name: string, labels: Record<string, string> = {}): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  let sum = 0
  for (const [key, value] of values) {
    if (key.replace(/\{.*/, '') === name && wanted.every(label => key.includes(label))) sum += value
  }
  return sum
}

onEachDriver(
  'what pushes, pulls and refusals leave in the metrics',
  async (t, { app, wire }) => {
    const client = await wire()
    const { digest } = await client.pushImage('team/app', 'v1')
    await client.getManifest('team/app', 'v1')
    await client.getManifest('team/app', digest)
    await client.get(`/v2/team/app/blobs/${absent()}`)
    const large = random(300_000)
    await client.get(`/v2/team/app/blobs/${await client.pushBlob('team/app', large)}`)
    await client.get('/v2/')
    for (const path of ['/v2/nowhere', '/v2/x/y/z/nowhere', '/v2/_catalog', '/v2/team/app/tags/list'])
      await client.get(path)
    await sleep(50)

    const answer = await app.inject('/metrics')
    t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/)
    const values = valuesOf(answer.body)
    const requests = (labels: Record<string, string>) => total(values, 'marina_http_requests_total', labels)
    t.equal(requests({ route: 'manifest', method: 'GET', status: '200' }), 2)
    t.equal(requests({ route: 'manifest', method: 'PUT', status: '201' }), 1)
    t.equal(requests({ route: 'blob', status: '404' }), 1)
    t.equal(requests({ route: 'base', status: '200' }), 1)
    t.equal(requests({ route: 'catalog' }), 1)
    t.equal(requests({ route: 'tags' }), 1)
    t.equal(requests({ route: 'unknown', status: '404' }), 2)
    const timed = total(values, 'marina_http_request_duration_seconds_count')
    t.equal(timed, requests({}), 'each of them was timed')
    t.ok(total(values, 'marina_http_received_bytes_total') > large.length)
    t.ok(total(values, 'marina_http_sent_bytes_total', { route: 'blob', method: 'GET' }) > large.length)
    t.ok(total(values, 'marina_http_sent_bytes_total') < 2 * large.length, 'no byte counts twice')
    t.equal(total(values, 'marina_http_requests_in_flight'), 0)
    t.ok(total(values, 'marina_storage_operation_duration_seconds_count', { operation: 'put' }) > 3)
    t.ok(total(values, 'marina_storage_operation_duration_seconds_count', { operation: 'read' }) >= 1)
    t.equal(total(values, 'marina_storage_errors_total'), 0)
    t.ok(total(values, 'marina_cache_requests_total', { cache: 'manifests', result: 'hit' }) >= 1)
    t.ok(total(values, 'process_cpu_seconds_total') > 0 && values.has('nodejs_eventloop_lag_p99_seconds'))
    t.notMatch(answer.body, /team|sha256/, 'no label has anything of a URL')
  },
  { metricsEnabled: true }
)

t.test('without METRICS there are none', async t => {
  const { app } = await openRegistry(t, createMemory())
  t.equal((await app.inject('/metrics')).statusCode, 404)
})

t.test('a client that goes away is counted, and its request is no longer in flight', async t => {
  const { app, begin } = await openRegistry(t, createMemory(), { metricsEnabled: true })
  const location = await begin('a')
  const { socket, until } = await openSocket(app)
  const head = ['Host: h', 'Content-Length: 100', 'Expect: 100-continue', '', '']
  socket.write([`PATCH ${location} HTTP/1.1`, ...head].join('\r\n'))
  await until('100 Continue')
  const look = async () => valuesOf((await app.inject('/metrics')).body)
  t.equal(total(await look(), 'marina_http_requests_in_flight', { route: 'upload' }), 1)
  socket.destroy()
  await once(socket, 'close')
  const gone = async () => total(await look(), 'marina_http_requests_total', { route: 'upload', status: '499' })
  for (let tries = 0; (await gone()) === 0 && tries < 200; tries++) await sleep(10)
  t.equal(await gone(), 1)
  t.equal(total(await look(), 'marina_http_requests_in_flight'), 0)
})

t.test('faults of the store are counted by what they are', async t => {
  let fault: StorageError | undefined
  const storage = createMemory({ faults: method => (method === 'put' ? fault : undefined) })
  const { app, pushBlob, send } = await openRegistry(t, storage, { metricsEnabled: true })
  await pushBlob('a', random(10))
  fault = new StorageError('full', 'no room')
  const bytes = random(11)
  const answer = await send('POST', `/v2/a/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes })
  t.equal(answer.status, 507)
  const values = valuesOf((await app.inject('/metrics')).body)
  t.ok(total(values, 'marina_storage_errors_total', { operation: 'put', fault: 'full' }) >= 1)
})

t.test('open uploads are counted, by a scrape later', async t => {
  const { app, begin, patch } = await openRegistry(t, createMemory(), { metricsEnabled: true })
  for (const name of ['a', 'b']) await patch(await begin(name), random(100_000))
  const open = async () => valuesOf((await app.inject('/metrics')).body).get('marina_uploads_open')
  t.equal(await open(), undefined, 'a scrape does not wait for the store')
  await sleep(20)
  t.equal(await open(), 2)
})

t.test('with access control, who logs in may read the metrics, and passwords are counted', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'marina-metrics-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const htpasswdFile = join(folder, 'users')
  writeFileSync(htpasswdFile, `alice:${await hashPassword('secret', 4)}\n`)
  const { app } = await openRegistry(t, createMemory(), {
    metricsEnabled: true,
    access: { htpasswdFile, anonymous: 'pull' }
  })
  const as = (password: string) => ({ authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` })
  t.equal((await app.inject('/metrics')).statusCode, 401)
  t.equal((await app.inject({ url: '/metrics', headers: as('wrong') })).statusCode, 401)
  for (const password of ['secret', 'secret', 'wrong']) await app.inject({ url: '/v2/', headers: as(password) })
  const values = valuesOf((await app.inject({ url: '/metrics', headers: as('secret') })).body)
  for (const result of ['right', 'wrong', 'remembered']) {
    t.equal(total(values, 'marina_password_checks_total', { result }), 1, result)
  }
})

t.test('collections are counted, and what they gave back', async t => {
  const storage = createMemory()
  const { app } = await openRegistry(t, storage, { metricsEnabled: true, gcIntervalMs: 1 })
  const done = async (): Promise<boolean> => {
    const values = valuesOf((await app.inject('/metrics')).body)
    return total(values, 'marina_gc_runs_total', { result: 'done' }) > 0
  }
  for (let tries = 0; !(await done()) && tries < 200; tries++) await sleep(10)
  const values = valuesOf((await app.inject('/metrics')).body)
  t.ok(total(values, 'marina_gc_last_run_timestamp_seconds') > Date.now() / 1000 - 60)
  t.ok(values.has('marina_gc_last_duration_seconds') && values.has('marina_gc_freed_bytes_total'))
})

t.test('two registries in one app keep their metrics apart', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const registers = [new Registry(), new Registry()]
  for (const [index, metrics] of registers.entries()) {
    await app.register(marina, { prefix: `/${index}`, storage: createMemory(), metrics })
  }
  const client = createClient(overInject(app))
  for (const path of ['/0/v2/', '/0/v2/', '/1/v2/']) await client.get(path)
  const counts = await Promise.all(
    registers.map(async register => total(valuesOf(await register.metrics()), 'marina_http_requests_total'))
  )
  t.strictSame(counts, [2, 1])
})

t.test('every metric of the dashboard and of the alerts is exported', async t => {
  const { app, pushBlob } = await openRegistry(t, createMemory(), { metricsEnabled: true })
  await pushBlob('a', random(10))
  const { body } = await app.inject('/metrics')
  const exported = new Set([...body.matchAll(/^# TYPE (\w+) \w+$/gm)].map(([, name]) => name!))
  for (const file of ['grafana/dashboard.json', 'prometheus/alerts.yml', 'prometheus/alerts.test.yml']) {
    const text = readFileSync(new URL(`../../examples/${file}`, import.meta.url), 'utf8')
    const named = new Set(text.match(/\b(?:marina|process|nodejs)_\w+/g))
    const unknown = [...named].filter(name => !exported.has(name.replace(/_(?:bucket|count|sum)$/, '')))
    t.ok(named.size > 5, file)
    t.strictSame(unknown, [], file)
  }
})

t.test('the table of docs/observability.md is what is exported', async (t: Test) => {
  const tls = createAuthority(t.testdir({})).issue('localhost')
  const { app } = await openRegistry(t, createMemory(), { metricsEnabled: true, tls })
  const { body } = await app.inject('/metrics')
  const exported = [...body.matchAll(/^# TYPE (marina_\w+) (\w+)$/gm)].map(([, name, type]) => `${name} ${type}`)
  const file = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8')
  const told = [...file.matchAll(/^\| `(marina_\w+)` \| (\w+) \|/gm)].map(([, name, type]) => `${name} ${type}`)
  t.strictSame(told.sort(), exported.sort())
})

t.test('15.25: the metrics say which version runs, on which Node.js and which storage', async t => {
  const register = new Registry()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(marina, { storage: createMemory(), metrics: register })
  await app.ready()
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'))
  const labels = `version="${version}",node_version="${process.versions.node}",storage="memory"`
  t.equal(valuesOf(await register.metrics()).get(`marina_build_info{${labels}}`), 1)
})
