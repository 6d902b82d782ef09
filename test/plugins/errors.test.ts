import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { errorTable } from '../../plugins/errors.ts'
import { BodyInterrupted } from '../../src/http/body.ts'
import { type ErrorKind, RegistryError } from '../../src/registry/errors.ts'
import { StorageError } from '../../src/storage/driver.ts'
import { buildEdge, createLog, openSocket } from './edge.ts'

/** The spec's "Error Codes". */
const specCodes = new Set(
  `BLOB_UNKNOWN BLOB_UPLOAD_INVALID BLOB_UPLOAD_UNKNOWN DIGEST_INVALID MANIFEST_BLOB_UNKNOWN MANIFEST_INVALID
  MANIFEST_UNKNOWN NAME_INVALID NAME_UNKNOWN SIZE_INVALID UNAUTHORIZED DENIED UNSUPPORTED TOOMANYREQUESTS`.split(/\s+/)
)

/** An app whose manifest and upload routes throw what the test wants. */
async function thrower(t: Test) {
  const log = createLog()
  const wanted: { error: unknown } = { error: undefined }
  const handler = async () => {
    throw wanted.error
  }
  const app = await buildEdge(
    t,
    async scope => {
      scope.route({ method: ['HEAD'], url: '/*', constraints: { ociEndpoint: 'manifest' }, handler })
      scope.route({ method: ['GET', 'PUT', 'DELETE'], url: '/*', constraints: { ociEndpoint: 'manifest' }, handler })
      scope.route({ method: ['PATCH'], url: '/*', constraints: { ociEndpoint: 'upload' }, handler })
      const querystring = { type: 'object', properties: { n: { type: 'integer', minimum: 0 } } }
      scope.get('/*', { constraints: { ociEndpoint: 'tags' }, schema: { querystring } }, async () => [])
      scope.get('/_catalog', async () => [])
    },
    { log }
  )
  const ask = (
    error: unknown,
    method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'PATCH' = 'GET',
    url = '/v2/a/manifests/x'
  ) => {
    wanted.error = error
    log.lines.length = 0
    return app.inject({ method, url })
  }
  const logged = (level: number) => log.lines.filter(line => line.level === level)
  return { app, ask, logged }
}

t.test('every kind of error, as the table has it', async t => {
  const { ask, logged } = await thrower(t)
  for (const [kind, row] of Object.entries(errorTable)) {
    const answer = await ask(new RegistryError(kind as ErrorKind, { some: 'detail' }, { cause: new Error('secret') }))
    t.equal(answer.statusCode, row.status, kind)
    t.equal(answer.headers['content-type'], 'application/json')
    t.equal(answer.headers['content-length'], String(answer.rawPayload.length))
    const [error, ...more] = answer.json().errors
    t.match(error, { code: row.code, message: row.message }, kind)
    t.equal(more.length, 0)
    t.match(row.code, /^[A-Z_]+$/)
    if (row.status < 500) t.ok(specCodes.has(row.code), `${row.code} is one of the spec's`)
    t.strictSame(error.detail, kind === 'internal' ? { incident: error.detail.incident } : { some: 'detail' })
    t.equal(
      answer.headers['retry-after'] !== undefined,
      row.status === 503 || row.status === 429,
      `${kind}: Retry-After`
    )
    t.equal(answer.headers.allow !== undefined, row.status === 405, `${kind}: Allow`)
    t.equal(logged(50).length, 'hint' in row ? 1 : 0, `${kind}: a fault of the server's is logged as one`)
    t.notMatch(answer.body, 'secret')

    const head = await ask(new RegistryError(kind as ErrorKind, { some: 'detail' }), 'HEAD')
    t.equal(head.statusCode, row.status)
    t.equal(head.headers['content-type'], 'application/json')
    t.match(head.headers['content-length'], /^[1-9]\d+$/)
  }
})

t.test('what the domain tells goes to the client, an entry for each detail', async t => {
  const { ask } = await thrower(t)
  const bare = await ask(new RegistryError('blob-unknown'))
  t.strictSame(bare.json(), { errors: [{ code: 'BLOB_UNKNOWN', message: 'blob unknown to registry' }] })
  const told = await ask(
    new RegistryError('manifest-blob-unknown', [{ digest: 'x' }, { digest: 'y' }], { message: 'no' })
  )
  t.strictSame(told.json(), {
    errors: [
      { code: 'MANIFEST_BLOB_UNKNOWN', message: 'no', detail: { digest: 'x' } },
      { code: 'MANIFEST_BLOB_UNKNOWN', message: 'no', detail: { digest: 'y' } }
    ]
  })
})

t.test('15.39: no refusal looks to docker like one to retry', async t => {
  // What its code has for each code: an error with exactly this message and no detail is reduced to the bare code, which
  // is not among the errors that end a push at once.
  const reduced: Record<string, string> = {
    UNAUTHORIZED: 'authentication required',
    DENIED: 'requested access to the resource is denied',
    UNSUPPORTED: 'The operation is unsupported.',
    NAME_UNKNOWN: 'repository name not known to registry'
  }
  for (const [kind, { code, message }] of Object.entries(errorTable)) t.not(message, reduced[code], kind)
})

t.test('headers that a kind needs', async t => {
  const { ask } = await thrower(t)
  const upload = '/v2/a/blobs/uploads/s1'
  for (const [size, range] of [
    [0, '0-0'],
    [1, '0-0'],
    [10, '0-9']
  ] as const) {
    const answer = await ask(new RegistryError('upload-out-of-order', { size }), 'PATCH', `${upload}?digest=x`)
    t.match(answer, { statusCode: 416, headers: { range, location: upload } })
  }
  const range = await ask(new RegistryError('range-not-satisfiable', { size: 7 }))
  t.match(range, { statusCode: 416, headers: { 'content-range': 'bytes */7' } })
  t.equal(range.headers.location, undefined)
  const allow = await ask(new RegistryError('method-not-allowed', { allow: ['GET', 'HEAD'] }))
  t.equal(allow.headers.allow, 'GET, HEAD')
  t.equal((await ask(new RegistryError('delete-disabled'), 'DELETE')).headers.allow, 'GET, HEAD, PUT')
})

t.test('what is not the domain’s own', async t => {
  const { app, ask, logged } = await thrower(t)

  for (const [fault, kind] of [
    ['full', 'storage-full'],
    ['unavailable', 'storage-unavailable']
  ] as const) {
    const answer = await ask(new StorageError(fault, '/secret/path'))
    t.equal(answer.statusCode, errorTable[kind].status)
    t.notMatch(answer.body, 'secret')
    t.match(logged(50), [{ msg: errorTable[kind].hint, err: { message: '/secret/path' } }])
  }
  await ask(new StorageError('full', '/secret/path', { advice: 'look at the disk' }))
  t.match(logged(50), [{ msg: `${errorTable['storage-full'].message}: look at the disk` }])
  const faults = (['range', 'conflict', 'failed'] as const).map(fault => new StorageError(fault, '/secret/path'))
  const odd = [
    null,
    undefined,
    'secret',
    { statusCode: 400, message: 'secret' },
    Object.assign(new Error('secret'), { statusCode: 502 })
  ]
  for (const error of [...faults, new TypeError('secret'), ...odd.slice(2)]) {
    const answer = await ask(error)
    t.equal(answer.statusCode, 500, String(error))
    t.notMatch(answer.body, 'secret')
    const { incident } = answer.json().errors[0].detail
    t.match(incident, /^[0-9a-f]{16}$/)
    t.match(logged(50), [{ incident }])
  }

  const limited = await ask(Object.assign(new Error('secret'), { statusCode: 429 }))
  t.equal(limited.statusCode, 429)
  t.strictSame(limited.json().errors, [{ code: 'TOOMANYREQUESTS', message: 'Too Many Requests' }])
  t.equal((await ask(Object.assign(new Error('x'), { statusCode: 413 }))).json().errors[0].code, 'MANIFEST_INVALID')

  const broken = await ask(new BodyInterrupted(new Error('reset')))
  t.equal(broken.statusCode, 400, 'where somebody still listens')
  t.equal(logged(50).length, 0)

  const invalid = await app.inject('/v2/a/tags/list?n=x')
  t.equal(invalid.statusCode, 400)
  t.match(invalid.json().errors, [
    { code: 'UNSUPPORTED', detail: { in: 'querystring', at: '/n', message: 'must be integer' } }
  ])
})

t.test('405 with Allow where the path is known, else 404', async t => {
  const { app } = await thrower(t)
  const cases: [method: string, url: string, allow: string | undefined][] = [
    ['POST', '/v2/a/manifests/x', 'GET, HEAD, PUT, DELETE'],
    ['OPTIONS', '/v2/a/blobs/sha256:ab', 'GET, HEAD, DELETE'],
    ['GET', '/v2/a/blobs/uploads/', 'POST'],
    ['POST', '/v2/a/blobs/uploads/s', 'GET, HEAD, PATCH, PUT, DELETE'],
    ['TRACE', '/v2/a/tags/list', 'GET, HEAD'],
    ['DELETE', '/v2/a/referrers/sha256:ab', 'GET, HEAD'],
    ['PUT', '/v2/_catalog', 'GET, HEAD'],
    ['POST', '/v2/tags/list', undefined],
    ['GET', '/v2/a', undefined],
    ['GET', '/v2/*', undefined],
    ['POST', '/v2/:x/*/y', undefined],
    ['PUT', '/a/manifests/x', undefined],
    ['GET', '/', undefined]
  ]
  for (const [method, url, allow] of cases) {
    const answer = await app.inject({ method: method as 'GET', url, payload: method === 'PUT' ? 'x' : undefined })
    t.equal(answer.statusCode, allow === undefined ? 404 : 405, `${method} ${url}`)
    t.equal(answer.headers.allow, allow, `${method} ${url}`)
    t.equal(answer.json().errors[0].code, 'UNSUPPORTED')
  }
})

t.test('what never becomes a request is answered in JSON as well', async t => {
  const { app } = await thrower(t)
  const escaped = await app.inject('/v2/a%zz/manifests/x')
  t.equal(escaped.statusCode, 400)
  t.equal(escaped.json().errors[0].code, 'UNSUPPORTED')

  const cases: [sent: string, status: number][] = [
    ['NONSENSE\r\n\r\n', 400],
    ['FOO /v2/ HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    ['GET /v2/ HTTP/1.1\r\nHost: h\r\nBad Header: x\r\n\r\n', 400],
    [`GET /v2/ HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n', 400]
  ]
  for (const [sent, status] of cases) t.equal(await raw(t, app, sent), status, sent.slice(0, 60))
})

/** Sends bytes, waits for the end, checks that there is exactly one answer in the right form, and returns its status. */
async function raw(t: Test, app: FastifyInstance, sent: string): Promise<number> {
  const { socket, answer } = await openSocket(app)
  socket.write(sent)
  await once(socket, 'close')
  const [head = '', body = '', ...more] = answer().split('\r\n\r\n')
  t.equal(more.length, 0)
  t.match(JSON.parse(body), { errors: [{ code: 'UNSUPPORTED' }] })
  return Number(/^HTTP\/1.1 (\d+) /.exec(head)?.[1])
}
