import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import marina from '../../src/index.ts'
import { createMonitor } from '../../src/monitor.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused } from '../support/answers.ts'
import { basic, htpasswdOf, passwordOf } from '../support/callers.ts'
import { createClient, overInject } from '../support/client.ts'
import { absent } from '../support/images.ts'
import { openRegistry } from '../support/registry.ts'
import { openSocket } from './edge.ts'

const NOSNIFF = { 'x-content-type-options': 'nosniff' }
const API = { ...NOSNIFF, 'docker-distribution-api-version': 'registry/2.0' }

t.test('15.38, 15.32: nosniff on every answer, and the version of the API on every answer of it', async t => {
  const htpasswdFile = join(t.testdir(), 'users')
  writeFileSync(htpasswdFile, await htpasswdOf('alice'))
  const access = { htpasswdFile, anonymous: 'none' as const, tokens: undefined }
  const settings = { access, openapiEnabled: true, metricsEnabled: true, corsOrigins: ['https://ui.example'] }
  const registry = await openRegistry(t, createMemory(), settings)
  const { send } = await registry.wire()
  const alice = basic('alice', passwordOf('alice'))
  const large = Buffer.alloc(200_000)
  const as = createClient((method, path, sending = {}) =>
    send(method, path, { ...sending, headers: { ...sending.headers, ...alice } })
  )
  const blob = await as.pushBlob('a', large)
  await as.pushImage('a', 'v1')

  const cases: [method: string, path: string, status: number, headers?: Record<string, string>][] = [
    ['GET', '/v2/', 401, { authorization: '' }],
    ['GET', '/v2/a/tags/list', 401, { authorization: 'Basic eDp5' }],
    ['GET', '/v2/', 200],
    ['GET', '/v2/a/manifests/v1', 200],
    ['HEAD', '/v2/a/manifests/v1', 200],
    ['GET', `/v2/a/blobs/${blob}`, 200],
    ['GET', `/v2/a/blobs/${blob}`, 206, { range: 'bytes=0-1,5-9' }],
    ['GET', `/v2/a/blobs/${blob}`, 304, { 'if-none-match': '*' }],
    ['GET', `/v2/a/blobs/${absent()}`, 404],
    ['GET', '/v2/nowhere', 404],
    ['DELETE', '/v2/a/tags/list', 405],
    ['PUT', '/v2/A/manifests/v1', 400],
    ['POST', '/v2/a/blobs/uploads/', 202],
    ['OPTIONS', '/v2/', 204, { origin: 'https://ui.example', 'access-control-request-method': 'GET' }],
    ['GET', '/v2/a%zz/b', 400]
  ]
  for (const [method, path, status, headers = {}] of cases) {
    const answer = await send(method, path, { headers: { ...alice, ...headers } })
    t.equal(answer.status, status, `${method} ${path}`)
    t.match(answer.headers, API, `${method} ${path}: ${status}`)
  }
  for (const [path, status] of [
    ['/livez', 200],
    ['/readyz', 200],
    ['/metrics', 200],
    ['/openapi.json', 200],
    ['/openapi/', 200],
    ['/openapi/nothing', 404],
    ['/nowhere', 404],
    ['/%zz', 400]
  ] as const) {
    const answer = await send('GET', path, { headers: alice })
    t.equal(answer.status, status, path)
    t.match(answer.headers, NOSNIFF, path)
    t.notOk(answer.headers['docker-distribution-api-version'], path)
  }
  const { socket } = await openSocket(registry.app)
  socket.write('nonsense\r\n\r\n')
  let text = ''
  socket.on('data', data => (text += data))
  await once(socket, 'close')
  t.match(text, /^HTTP\/1.1 400 .*\r\nX-Content-Type-Options: nosniff\r\n/s)

  const monitor = createMonitor({
    exposition: { contentType: 'text/plain', text: async () => '' },
    ready: async () => true
  })
  t.teardown(() => monitor.close())
  for (const path of ['/metrics', '/livez', '/readyz', '/nowhere']) {
    t.match((await monitor.inject(path)).headers, NOSNIFF, `METRICS_PORT ${path}`)
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(marina, { storage: createMemory() })
  t.match((await overInject(app)('GET', '/v2/')).headers, API, 'in an app of somebody else')
})

t.test('15.18: the pages beside the API load their own files alone, in no frame, within the rate limit', async t => {
  const limits = { perAddress: { requests: 4, perMs: 60_000 }, uploads: 0, uploadSessions: 0 }
  const { send } = await (await openRegistry(t, createMemory(), { openapiEnabled: true, limits })).wire()
  const page = await send('GET', '/openapi/')
  t.match(page.headers, {
    'content-security-policy': /default-src 'none'.*frame-ancestors 'none'/,
    'x-frame-options': 'DENY',
    'content-type': /^text\/html/
  })
  t.notMatch(page.body.toString(), /<script(?! src="\.\/|>)[^>]*src="(?:https?:)?\/\//, 'nothing of others')
  t.notMatch(page.body.toString(), /<script>/, 'no script in the page itself')
  for (const path of ['/openapi.json', '/openapi/static/index.css', '/openapi/nothing']) await send('GET', path)
  for (const path of ['/openapi.json', '/openapi', '/openapi/']) {
    refused(t, await send('GET', path), 429, 'TOOMANYREQUESTS', path)
  }
})

t.test('15.18: what people put into a URL by mistake stands in no log and no answer', async t => {
  const lines: string[] = []
  const onLog = (line: Record<string, unknown>) => lines.push(JSON.stringify(line))
  const htpasswdFile = join(t.testdir(), 'users')
  writeFileSync(htpasswdFile, await htpasswdOf('alice'))
  const access = { htpasswdFile, anonymous: 'pull' as const }
  const { app } = await openRegistry(t, createMemory(), { access, onLog, openapiEnabled: true })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  for (const target of [
    '/v2/?account=alice&password=hunter2',
    '/v2/a/tags/list?n=1&password=hunter2&last=x',
    '/v2/a/tags/list?n=hunter2x&hunter2',
    `/v2/a/blobs/uploads/?token=hunter2&mount=${absent()}`,
    `http://alice:hunter2@127.0.0.1:${port}/v2/a/tags/list`,
    `http://alice:hunter2@127.0.0.1:${port}`,
    'http://alice:hunter2@h/v2/a/%zz?password=hunter2',
    '/v2/a/%zz?password=hunter2',
    '/nowhere?password=hunter2',
    '/openapi/nothing?password=hunter2',
    '//alice:hunter2@h/v2/'
  ]) {
    const { socket, until } = await openSocket(app)
    socket.write(`GET ${target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
    const answer = await until('never')
    if (!target.includes('n=hunter2x') && !target.startsWith('//')) t.notMatch(answer, 'hunter2', target)
  }
  const { socket, until } = await openSocket(app)
  socket.write('GET /v2/ HTTP/1.1\r\nHost: alice:hunter2@h\r\nConnection: close\r\n\r\n')
  t.notMatch(await until('never'), 'hunter2', 'in the Host header')
  const requests = lines.filter(line => line.includes('request completed'))
  t.ok(requests.length >= 10)
  t.match(requests[0], '/v2/?account=alice&…')
  t.match(requests[1], '/v2/a/tags/list?n=1&…&last=x')
  for (const line of lines) {
    if (!line.includes('n=hunter2x')) t.notMatch(line, 'hunter2', line)
  }
})
