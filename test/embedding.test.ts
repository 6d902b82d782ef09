import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import marina, { buildApp, defaults, type MarinaOptions, type StorageDriver } from '../src/index.ts'
import { createMemory } from '../src/storage/memory.ts'
import { openSocket } from './plugins/edge.ts'
import { holds, refused, told } from './support/answers.ts'
import { createClient, overInject, overSocket, parse } from './support/client.ts'
import { absent, digestOf, random } from './support/images.ts'

/** A client of the registry that the app holds under the prefix. */
function clientUnder(app: FastifyInstance, prefix: string) {
  const send = overInject(app)
  return createClient((method, path, sending) => send(method, path.startsWith(prefix) ? path : prefix + path, sending))
}

const hostStorage = createMemory()

/** An app with ways of its own in everything that a registry could get in the way of. */
function createHost(t: Test): { app: FastifyInstance; seen: string[] } {
  const app = Fastify({ exposeHeadRoutes: false })
  t.teardown(() => app.close())
  const seen: string[] = []
  app.decorate('storage', hostStorage)
  app.addHook('onRequest', async request => void seen.push(`request ${request.url}`))
  app.addHook('onSend', async (_request, reply) => void reply.header('x-host', 'yes'))
  app.addHook('onResponse', async request => void seen.push(`response ${request.url}`))
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) =>
    done(null, { parsed: JSON.parse(String(body)) })
  )
  app.setErrorHandler((error, _request, reply) =>
    reply.code(418).send(`host: ${error instanceof Error && error.message}`)
  )
  app.setNotFoundHandler((_request, reply) => reply.code(404).send('host: nothing here'))
  app.setValidatorCompiler(() => value => ({ value }))
  return { app, seen }
}

/** The host's own routes, some of which look like a registry's. */
function addRoutes(app: FastifyInstance): void {
  app.get('/', async () => 'home')
  app.get('/v2/', async () => 'my own second version')
  app.get('/x/manifests/:tag', async ({ params }) => params)
  app.get('/files/*', async ({ params }) => params)
  app.post('/json', async ({ body }) => body as object)
  app.get('/broken', async () => {
    throw new Error('mine')
  })
}

async function isUndisturbed(t: Test, app: FastifyInstance): Promise<void> {
  t.equal((await app.inject('/')).body, 'home')
  t.equal((await app.inject('/v2/')).body, 'my own second version')
  t.strictSame((await app.inject('/x/manifests/v1')).json(), { tag: 'v1' })
  t.strictSame((await app.inject('/files/a/tags/list')).json(), { '*': 'a/tags/list' })
  t.strictSame((await app.inject({ method: 'POST', url: '/json', payload: { a: 1 } })).json(), { parsed: { a: 1 } })
  const oci = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
  const unparsed = await app.inject({ method: 'POST', url: '/json', payload: '{}', headers: oci })
  t.match(unparsed, { statusCode: 418, body: /^host: Unsupported Media Type/ }, 'the parsers are the host’s')
  t.match(await app.inject('/broken'), { statusCode: 418, body: 'host: mine', headers: { 'x-host': 'yes' } })
  for (const path of [
    '/nothing',
    '/one',
    '/one/x',
    '/one/v2x',
    '/v2/a/manifests/v1',
    '/v2/a/tags/list',
    '/other/v2/'
  ]) {
    t.match(await app.inject(path), { statusCode: 404, body: 'host: nothing here' }, path)
  }
  t.equal((await app.inject({ method: 'DELETE', url: '/broken' })).statusCode, 404, 'no 405 for the host')
  t.equal((await app.inject({ method: 'HEAD', url: '/' })).statusCode, 404, 'no HEAD routes for the host')
  t.equal((await app.inject('/a%zz')).statusCode, 400)
  t.equal(app.storage, hostStorage, 'its decorators are its own')
  t.notOk(app.hasDecorator('registry') || app.hasRequestDecorator('bodyType'), 'and no more than those')
}

t.test('two registries in an app that goes its own way', async t => {
  const { app, seen } = createHost(t)
  const closed: string[] = []
  const driver = (name: string): StorageDriver => ({ ...createMemory(), close: async () => void closed.push(name) })
  await app.register(marina, { prefix: '/one', storage: driver('one'), deleteEnabled: false })
  addRoutes(app)
  await app.register(marina, { prefix: '/two/deep', storage: driver('two'), tagsPageMax: 1, manifestMaxBytes: 2000 })

  await isUndisturbed(t, app)
  const [one, two] = [clientUnder(app, '/one'), clientUnder(app, '/two/deep')]
  for (const [prefix, client] of [
    ['/one', one],
    ['/two/deep', two]
  ] as const) {
    for (const path of ['/v2/', '/v2']) t.strictSame(parse(await client.get(path)), {}, prefix + path)
    const image = await client.pushImage('a/manifests', 'v1')
    t.equal(image.answer.headers.location, `${prefix}/v2/a/manifests/manifests/${image.digest}`)
    t.equal(image.answer.headers['x-host'], 'yes', 'hooks of the host run')
    holds(t, await client.getManifest('a/manifests', 'v1'), image.bytes, image.digest, prefix)
    told(t, await client.head('/v2/a/manifests/tags/list'), 200, {}, 'HEAD routes are there all the same')
    const large = random(200_000)
    const blob = await client.pushBlob('a', large)
    holds(t, await client.get(`/v2/a/blobs/${blob}`), large, blob, 'a large blob')
    const ranged = await client.get(`/v2/a/blobs/${blob}`, { range: 'bytes=0-1' })
    told(t, ranged, 206, { 'content-length': '2' }, 'a range')
    const name = 'x'.repeat(255)
    const small = await client.pushBlob(name, random(3), 'sha512')
    told(t, await client.head(`/v2/${name}/blobs/${small}`), 200, {}, 'the longest name')
    refused(t, await client.get('/v2/nothing'), 404, 'UNSUPPORTED', 'unknown')
    refused(t, await client.get('/v2/A/tags/list'), 400, 'NAME_INVALID', 'refused')
    refused(t, await client.send('POST', '/v2/a/tags/list'), 405, 'UNSUPPORTED', 'another method')
    refused(t, await client.putManifest('a', 'v1', Buffer.from('{')), 400, 'MANIFEST_INVALID', 'no JSON')
  }
  refused(
    t,
    await one.del('/v2/a/manifests/manifests/v1'),
    405,
    'UNSUPPORTED',
    'options are those of each: no deletion'
  )
  await two.pushImage('a/manifests', 'v2')
  t.equal((await two.tags('a/manifests')).length, 1, 'options are those of each: short pages')
  refused(
    t,
    await two.putManifest('a', 'v1', Buffer.alloc(2001, ' ')),
    413,
    'MANIFEST_INVALID',
    'options are those of each'
  )
  t.strictSame(await one.tags('a/manifests'), ['v1'], 'what the other has is not here')
  told(t, await two.del('/v2/a/manifests/manifests/v1'), 202, {}, 'deletion in the other')
  t.strictSame(await one.tags('a/manifests'), ['v1'], 'and not here')
  const session = (await one.begin('a')).replace('/one', '/two/deep')
  refused(t, await two.patch(session, random(3)), 404, 'BLOB_UPLOAD_UNKNOWN', 'a session of the other registry')

  await isUndisturbed(t, app)
  t.ok(seen.includes('request /one/v2/') && seen.includes('response /two/deep/v2/'), 'hooks saw the requests')
  await app.close()
  t.strictSame(closed.sort(), ['one', 'two'], 'each driver is closed with the app')
})

t.test('an app that validates and coerces nothing still gets parameters checked', async t => {
  const { app } = createHost(t)
  await app.register(marina, { prefix: '/one', storage: createMemory() })
  const { get, pushImage, send, tags } = clientUnder(app, '/one')
  const { bytes, digest } = await pushImage('a', 'v1')
  await pushImage('a', 'v2')
  t.strictSame(await tags('a', '?n=1'), ['v1'])
  for (const query of ['n=x', 'n=-1', 'n=1&n=2', 'last=a&last=b']) {
    refused(t, await get(`/v2/a/tags/list?${query}`), 400, 'UNSUPPORTED', query)
  }
  refused(t, await send('POST', '/v2/a/blobs/uploads/?mount=x&mount=y'), 400, 'UNSUPPORTED', 'mount twice')
  const answer = await send('PUT', `/v2/a/manifests/${digest}?tag=one`, { body: bytes })
  told(t, answer, 201, { 'oci-tag': 'one' }, 'one tag')
})

t.test('over real connections, in an app of somebody else', async t => {
  const { app } = createHost(t)
  await app.register(marina, { prefix: '/one', storage: createMemory() })
  const send = await overSocket(app)
  const client = createClient((method, path, more) =>
    send(method, path.startsWith('/one') ? path : `/one${path}`, more)
  )
  const bytes = random(300_000)
  const digest = digestOf(bytes)
  for (const chunked of [false, true]) {
    const { headers } = await client.patch(await client.begin('a'), bytes.subarray(0, 100_000), { chunked })
    const closed = await client.close(headers.location!, digest, { body: bytes.subarray(100_000), chunked })
    told(t, closed, 201, { location: `/one/v2/a/blobs/${digest}` }, `chunked: ${chunked}`)
  }
  holds(t, await client.get(`/v2/a/blobs/${digest}`), bytes, digest, 'blob')
  const { socket, until } = await openSocket(app)
  const headers = ['Host: h', 'Expect: 100-continue', 'Content-Length: 5', '', '']
  socket.write([`POST /one/v2/a/blobs/uploads/?digest=${absent()} HTTP/1.1`, ...headers].join('\r\n'))
  await until('100 Continue')
  socket.write('12345')
  t.match(await until('"errors"'), /HTTP\/1.1 400 .*DIGEST_INVALID/s)
  socket.destroy()
  if (!socket.closed) await once(socket, 'close')
})

t.test('storage is a folder or a driver', async t => {
  const path = await mkdtemp(join(tmpdir(), 'marina-embedded-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  const open = async (options: MarinaOptions) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(marina, options)
    return { app, ...createClient(overInject(app)) }
  }
  const first = await open({ storage: { path } })
  const image = await first.pushImage('a', 'v1')
  t.ok((await readdir(path)).includes('repositories'))
  await first.app.close()
  const second = await open({ storage: { path } })
  holds(t, await second.getManifest('a', 'v1'), image.bytes, image.digest, 'another app on the same folder')
  await t.rejects(open({ storage: { path: '/dev/null/x' } }), { name: 'StorageError' }, 'a folder that can’t be')
  t.type(buildApp, 'function')
})

t.test('15.23: what is no storage is refused when the plugin is registered, in a sentence', async t => {
  const given: [storage: unknown, expected: RegExp][] = [
    [{}, /^storage has none of its properties; allowed: \{ path \}/],
    [undefined, /^storage is undefined; allowed: /],
    [null, /^storage is null; allowed: /],
    ['./data', /^storage is .\/data; allowed: /],
    [{ path: '' }, /^storage\.path is not a text; allowed: the path of a folder$/],
    [{ path: undefined }, /^storage\.path is not a text/],
    [{ s3: { bucket: 'images' } }, /^storage\.s3 has no bucket or no region/],
    [{ s3: undefined }, /^storage\.s3 has no bucket or no region/],
    [{ get: () => undefined, name: 'mine' }, /^storage is a driver without stat, read, put, .*close; allowed: /]
  ]
  for (const [storage, expected] of given) {
    const app = Fastify()
    await t.rejects(async () => void (await app.register(marina, { storage: storage as StorageDriver })), {
      name: 'TypeError',
      message: expected
    })
    await t.resolves(app.close())
  }
})

t.test('15.23: an option that is mistyped is refused, so that it leaves nothing open', async t => {
  const s3 = { bucket: 'images', region: 'x', endpoint: 'http://127.0.0.1:1' }
  const given: [options: object, expected: string | RegExp][] = [
    [{ authorise: () => false }, 'there is no option authorise; did you mean authorize?'],
    [{ readonly: true }, 'there is no option readonly; did you mean readOnly?'],
    [{ policy: 'x' }, /^there is no option policy; allowed: access, .*, authorize, /],
    [{ authorize: 'ann' }, 'the option authorize is "ann"; allowed: a function'],
    [{ deleteEnabled: 'false' }, 'the option deleteEnabled is "false"; allowed: true or false'],
    [{ manifestMaxBytes: '4MiB' }, 'the option manifestMaxBytes is "4MiB"; allowed: a number from 0 up'],
    [{ tagsPageMax: Number.NaN }, 'the option tagsPageMax is NaN; allowed: a number from 0 up'],
    [{ manifestSizeCheck: 'none' }, 'the option manifestSizeCheck is "none"; allowed: "strict" or "warn"'],
    [{ immutableTags: 'v*' }, 'the option immutableTags is "v*"; allowed: a list of texts'],
    [{ access: 'users' }, 'the option access is "users"; allowed: an object'],
    [{ access: { policyfile: 'x' } }, 'there is no option access.policyfile; did you mean policyFile?'],
    [{ access: { anonymous: 'push' } }, 'the option access.anonymous is "push"; allowed: "none" or "pull"'],
    [{ access: { tokens: { lifetime: 60 } } }, /^there is no option access\.tokens\.lifetime; /],
    [{ limits: { perUser: '600/1m' } }, 'the option limits.perUser is "600/1m"; allowed: { requests, perMs }'],
    [{ quotas: { '**': 1e9 } }, 'the option quotas is an object; allowed: a list of { pattern, bytes }'],
    [{ quotas: [{ pattern: '**' }] }, /^the option quotas\.0\.bytes is undefined; allowed: /],
    [{ storage: { s3: { ...s3, encrypt: true } } }, /^there is no option storage\.s3\.encrypt; allowed: /],
    [{ storage: { s3: { ...s3, caFle: 'x' } } }, 'there is no option storage.s3.caFle; did you mean caFile?']
  ]
  for (const [options, message] of given) {
    const app = Fastify()
    const registered = async () => void (await app.register(marina, { storage: createMemory(), ...options }))
    await t.rejects(registered, { name: 'TypeError', message })
    await t.resolves(app.close())
  }
})

t.test('15.23: every option that is documented is taken, and the configuration of a server', async t => {
  const options: Omit<Required<MarinaOptions>, 'access' | 'metrics' | 'exposition' | 'tracing' | 'now' | 'steady'> = {
    ...{ storage: createMemory(), health: true, authorize: () => true, onEvent: () => {}, deleteEnabled: false },
    ...{ readOnly: true, immutableTags: ['v*'], corsOrigins: ['https://ui.example'], corsCredentials: true },
    ...{ auditLog: false, limits: { perAddress: { requests: 600, perMs: 60_000 }, uploads: 0, uploadSessions: 0 } },
    ...{ quotas: [{ pattern: '**', bytes: 1e9 }], externalUrl: 'https://registry.example', manifestMaxBytes: 4e6 },
    ...{ manifestAllowSparse: 'none', manifestSizeCheck: 'warn', manifestReferencesMax: 100, tagsPageMax: 10 },
    ...{ uploadExpiryMs: 1e6, gcGraceMs: 1e7, gcIntervalMs: 0, bufferMemoryBytes: 1e8, cacheMemoryBytes: 1e7 },
    ...{ redirectExpiryMs: 1e5, metadataTtlMs: 0 }
  }
  const documented = await readFile(new URL('../docs/embedding.md', import.meta.url), 'utf8')
  t.strictSame(
    Object.keys(options).filter(name => !documented.includes(`\`${name}\``)),
    []
  )
  const undefinedToo = { access: undefined, metrics: undefined, now: undefined }
  for (const given of [options, { ...defaults, storage: createMemory(), ...undefinedToo }]) {
    const app = Fastify()
    await app.register(marina, { prefix: '/x', ...given })
    await app.ready()
    t.equal((await app.inject('/x/v2/')).statusCode, 200)
    await app.close()
  }
})
