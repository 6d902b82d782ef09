import t from 'tap'
import { StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { refused, told } from '../support/answers.ts'
import { parse } from '../support/client.ts'
import { endpoints } from '../support/endpoints.ts'
import { absent, digestOf, random } from '../support/images.ts'
import { onEachDriver, openRegistry } from '../support/registry.ts'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'SEARCH']

onEachDriver('every endpoint with every method: 405 with Allow, or what the endpoint does', async (t, registry) => {
  const { send } = await registry.wire()
  const allowedAt: [path: string, allowed: readonly string[]][] = [
    ...endpoints.map(({ path, methods }): [string, readonly string[]] => [path('a/b'), methods]),
    ['/v2/', ['GET', 'HEAD']],
    ['/v2', ['GET', 'HEAD']],
    ['/v2/_catalog', ['GET', 'HEAD']]
  ]
  for (const [path, allowed] of allowedAt) {
    for (const method of METHODS) {
      const answer = await send(method, path)
      const what = `${method} ${path}`
      if (allowed.includes(method)) {
        t.notOk([405, 500, 501].includes(answer.status), `${what}: ${answer.status}`)
        continue
      }
      refused(t, answer, 405, 'UNSUPPORTED', what, method)
      const allow = answer.headers.allow ?? ''
      t.strictSame(allow.split(', ').sort(), [...allowed].sort(), `${what}: Allow ${allow}`)
    }
  }
  const unknown = `// /v1/_ping /V2/ /v2x/ /favicon.ico /v2/nothing-here /v2/a/b /v2/a/tags /v2/a/tags/lists /v2/tags/list
    /v2//tags/list /v2/a/uploads/x /v2/a/blobs/ /v2/a/manifests/ /v2/a/referrers/`
  for (const path of unknown.split(/\s+/)) {
    for (const method of METHODS) {
      const answer = await send(method, path)
      refused(t, answer, 404, 'UNSUPPORTED', `${method} ${path}`, method)
      told(t, answer, 404, { allow: undefined }, `${method} ${path}`)
    }
  }
})

onEachDriver('/v2/ says that this is a registry, and unknown parameters change nothing', async (t, { get, head }) => {
  for (const path of ['/v2/', '/v2', '/v2/?ns=docker.io', '/v2/?__proto__=x&constructor[prototype]=y']) {
    const answer = await get(path)
    told(
      t,
      answer,
      200,
      { 'content-type': 'application/json', 'docker-distribution-api-version': 'registry/2.0' },
      path
    )
    t.strictSame(parse(answer), {})
    told(t, await head(path), 200, { 'content-length': '2' }, path)
  }
})

onEachDriver('a parameter given twice is refused, and one that nobody knows is not looked at', async (t, registry) => {
  const { send, begin, pushImage } = registry
  const { digest } = await pushImage('a', 'v1')
  const session = await begin('a')
  const twice: [method: string, path: string, parameter: string][] = [
    ['POST', '/v2/a/blobs/uploads/', 'digest'],
    ['POST', '/v2/a/blobs/uploads/', 'mount'],
    ['POST', '/v2/a/blobs/uploads/', 'from'],
    ['POST', '/v2/a/blobs/uploads/', 'digest-algorithm'],
    ['PUT', session, 'digest'],
    ['GET', '/v2/a/tags/list', 'n'],
    ['GET', '/v2/a/tags/list', 'last'],
    ['GET', '/v2/_catalog', 'n'],
    ['GET', '/v2/_catalog', 'last'],
    ['GET', `/v2/a/referrers/${digest}`, 'artifactType'],
    ['GET', `/v2/a/referrers/${digest}`, 'last']
  ]
  for (const [method, path, parameter] of twice) {
    const answer = await send(method, `${path}?${parameter}=1&${parameter}=1`)
    refused(t, answer, 400, 'UNSUPPORTED', `${method} ${path} with ${parameter} twice`)
  }
  const strange = '__proto__=1&__proto__[x]=1&constructor=1&toString=1&hasOwnProperty=1&ns=docker.io&ns=x&%ZZ=%ff&=&&x'
  for (const [method, path, status] of [
    ['GET', '/v2/', 200],
    ['GET', '/v2/_catalog', 200],
    ['GET', '/v2/a/tags/list', 200],
    ['GET', '/v2/a/manifests/v1', 200],
    ['GET', `/v2/a/manifests/${digest}`, 200],
    ['GET', `/v2/a/referrers/${digest}`, 200],
    ['GET', `/v2/a/blobs/${absent()}`, 404],
    ['POST', '/v2/a/blobs/uploads/', 202],
    ['GET', session, 204],
    ['PATCH', session, 202],
    ['DELETE', session, 204]
  ] as const) {
    told(t, await send(method, `${path}?${strange}`), status, {}, `${method} ${path}`)
  }
})

onEachDriver('what is malformed is 400 in JSON, and the registry goes on', async (t, registry) => {
  const { app, get, send } = registry
  for (const malformed of ['%', '%Z', '%ZZ', '%ff', '%C3', '%E0%A4%A', 'a%']) {
    for (const path of [
      `/v2/${malformed}/tags/list`,
      `/v2/a/manifests/${malformed}`,
      `/v2/a/blobs/${malformed}`,
      `/${malformed}`
    ]) {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
        refused(t, await send(method, path), 400, 'UNSUPPORTED', `${method} ${path}`, method)
      }
    }
  }
  const raw: [sent: string, status: number][] = [
    ['NONSENSE\r\n\r\n', 400],
    ['FOO /v2/ HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    ['get /v2/ HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    ['GET /v2/ HTTP/1.1\r\nHost: h\r\nBad Header: x\r\n\r\n', 400],
    ['GET /v2/ HTTP/1.1\r\nHost: h\r\nX: a\u0000b\r\n\r\n', 400],
    ['GET /v2/a b/tags/list HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    [`GET /v2/ HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, 431],
    [`GET /v2/${'a'.repeat(70_000)}/tags/list HTTP/1.1\r\nHost: h\r\n\r\n`, 431],
    ['PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n', 400],
    ['PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n', 400],
    ['PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400]
  ]
  for (const [sent, status] of raw) {
    const { socket, until } = await openSocket(app)
    socket.write(sent)
    const answer = await until('"errors"')
    const what = JSON.stringify(sent.slice(0, 70))
    t.match(
      answer,
      new RegExp(`^HTTP/1.1 ${status} .*\r\ncontent-type: application/json\r\n.*\r\n\r\n{"errors":\\[`, 'is'),
      what
    )
    socket.destroy()
  }
  for (const type of ['not a type;;', ';', 'a/b/c', '\u00e9', 'text/html', 'application/json']) {
    const answer = await send('PUT', '/v2/a/manifests/x', {
      headers: { 'content-type': type },
      body: Buffer.from('{}')
    })
    refused(t, answer, 400, 'MANIFEST_INVALID', `Content-Type ${type}`)
  }
  told(t, await get('/v2/'), 200, {}, 'still there')
})

t.test('a fault of the store is none of what is missing, and tells nothing of the inside', async t => {
  let fault: StorageError | undefined
  const { get, head, send, begin, pushImage, del } = await openRegistry(t, createMemory({ faults: () => fault }))
  const { digest } = await pushImage('a', 'v1')
  const session = await begin('a')
  const body = random(5)
  const requests = {
    blob: () => get(`/v2/a/blobs/${absent()}`),
    HEAD: () => head(`/v2/a/blobs/${absent()}`),
    manifest: () => get('/v2/a/manifests/v1'),
    'PUT manifest': () =>
      send('PUT', '/v2/a/manifests/v2', { body: Buffer.from('{"schemaVersion":2,"manifests":[]}') }),
    'DELETE manifest': () => del(`/v2/a/manifests/${digest}`),
    'DELETE blob': () => del(`/v2/a/blobs/${absent()}`),
    tags: () => get('/v2/a/tags/list'),
    catalog: () => get('/v2/_catalog'),
    referrers: () => get(`/v2/a/referrers/${absent()}`),
    status: () => get(session),
    PATCH: () => send('PATCH', session, { body }),
    PUT: () => send('PUT', `${session}?digest=${digestOf(body)}`, { body }),
    POST: () => send('POST', `/v2/a/blobs/uploads/?digest=${digestOf(body)}`, { body }),
    mount: () => send('POST', `/v2/a/blobs/uploads/?mount=${absent()}&from=b`)
  }
  const faults = { full: 507, unavailable: 503, failed: 500 } as const
  for (const [kind, status] of Object.entries(faults)) {
    for (const [what, ask] of Object.entries(requests)) {
      fault = new StorageError(kind as keyof typeof faults, 'repositories/secret/key')
      const answer = await ask()
      fault = undefined
      t.equal(answer.status, status, `${what}: ${kind}`)
      t.equal(answer.headers['content-type'], 'application/json', what)
      t.equal(answer.headers['retry-after'] !== undefined, status === 503, `${what}: Retry-After`)
      t.notMatch(answer.body.toString(), 'secret', what)
      if (what !== 'HEAD' && status === 500) t.match(answer.body.toString(), /"incident":"[0-9a-f]{16}"/, what)
    }
  }
  const patched = await send('PATCH', session, { body })
  told(t, patched, 202, { range: '0-4' }, 'the session lives on')
  told(t, await send('PUT', `${session}?digest=${digestOf(body)}`), 201, {}, 'and ends well')
})
