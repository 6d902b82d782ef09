import { once } from 'node:events'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t from 'tap'
import errors from '../../plugins/errors.ts'
import ociRouting from '../../plugins/oci-routing.ts'
import openapi from '../../plugins/openapi.ts'
import { allowedMethods, type Endpoint } from '../../src/http/endpoints.ts'
import { buildEdge, openSocket } from './edge.ts'

const tell = async ({ params, bodyType }: FastifyRequest) => ({ params, bodyType })

/** One route for each endpoint and method, which tells what it was given. */
async function everyEndpoint(scope: FastifyInstance): Promise<void> {
  for (const ociEndpoint of Object.keys(allowedMethods) as Endpoint[]) {
    for (const method of [...allowedMethods[ociEndpoint]].sort().reverse()) {
      scope.route({ method, url: '/*', constraints: { ociEndpoint }, handler: tell })
    }
  }
  scope.get('/', async () => 'base')
  scope.get('/_catalog', async () => 'catalog')
}

t.test('every endpoint is found by any name, under any prefix', async t => {
  for (const prefix of ['/v2', '/registry/v2']) {
    const app = await buildEdge(t, everyEndpoint, { prefix })
    const cases: [method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, params: object][] = [
      ['GET', '/a/tags/list?n=1', { name: 'a' }],
      ['GET', '/a/b/c/d/blobs/sha256:ab', { name: 'a/b/c/d', digest: 'sha256:ab' }],
      ['DELETE', '/a/blobs/sha256%3Aab', { name: 'a', digest: 'sha256:ab' }],
      ['PUT', '/a%2Fb/manifests/x', { name: 'a/b', reference: 'x' }],
      ['GET', '/a/blobs/uploads/manifests/x', { name: 'a/blobs/uploads', reference: 'x' }],
      ['POST', '/a/blobs/uploads/', { name: 'a' }],
      ['POST', '/a/blobs/uploads', { name: 'a' }],
      ['GET', '/a/blobs/uploads/s', { name: 'a', session: 's' }],
      ['GET', '/a/referrers/sha256:ab', { name: 'a', digest: 'sha256:ab' }],
      ['GET', `/${'x'.repeat(300)}/manifests/${'y'.repeat(300)}`, { name: 'x'.repeat(300), reference: 'y'.repeat(300) }]
    ]
    for (const [method, path, params] of cases) {
      const answer = await app.inject({ method, url: prefix + path })
      t.strictSame(answer.json(), { params, bodyType: '' }, `${method} ${prefix}${path}`)
    }
    t.equal((await app.inject({ method: 'HEAD', url: `${prefix}/a/manifests/x` })).statusCode, 200)
    t.equal((await app.inject(`${prefix}/`)).body, 'base')
    t.equal((await app.inject(prefix)).body, 'base')
    t.equal((await app.inject(`${prefix}/_catalog?n=1`)).body, 'catalog')
    for (const path of ['/tags/list', '/manifests/x', '/blobs/uploads/s', '/x', '/a/tags']) {
      t.equal((await app.inject(prefix + path)).statusCode, 404, path)
    }
  }
})

t.test('bodies keep the type the client gave, and no type is refused', async t => {
  const app = await buildEdge(t, everyEndpoint)
  const types: [given: string | undefined, told: string][] = [
    [undefined, ''],
    ['', ''],
    ['application/json', 'application/json'],
    ['Application/VND.oci.image.manifest.v1+JSON; charset="utf-8"', 'application/vnd.oci.image.manifest.v1+json'],
    [';;;', ''],
    ['no type at all', 'no type at all']
  ]
  for (const [given, told] of types) {
    for (const payload of ['{"broken', '']) {
      const headers = given === undefined ? {} : { 'content-type': given }
      const answer = await app.inject({ method: 'PUT', url: '/v2/a/manifests/x', headers, payload })
      t.equal(answer.statusCode, 200, `${given}, ${payload.length} bytes`)
      t.equal(answer.json().bodyType, told)
    }
  }
})

t.test('a manifest varies by Accept, and handlers can ask for it', async t => {
  const app = await buildEdge(t, async scope => {
    const constraints = { ociEndpoint: 'manifest' }
    scope.get('/*', { constraints }, async request => ['a/b', 'c/d'].filter(type => request.acceptsManifest(type)))
    scope.put('/*', { constraints }, tell)
    scope.get('/_catalog', async () => 'catalog')
  })
  for (const accept of ['a/b, */*;q=0', 'a/b', 'a/b']) {
    const answer = await app.inject({ url: '/v2/a/manifests/x', headers: { accept } })
    t.strictSame(answer.json(), ['a/b'])
    t.equal(answer.headers.vary, 'Accept')
  }
  t.strictSame((await app.inject('/v2/a/manifests/x')).json(), ['a/b', 'c/d'])
  t.equal((await app.inject({ method: 'HEAD', url: '/v2/a/manifests/x' })).headers.vary, 'Accept')
  for (const other of [{ method: 'PUT', url: '/v2/a/manifests/x' } as const, { url: '/v2/_catalog' }]) {
    t.notOk((await app.inject(other)).headers.vary, other.url)
  }
})

t.test('two registries fit into an app that goes its own way', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.get('/hello', async () => 'hello')
  for (const prefix of ['/v2', '/team/v2']) {
    await app.register(
      async scope => {
        await scope.register(ociRouting)
        await scope.register(errors)
        await scope.register(everyEndpoint)
      },
      { prefix }
    )
  }
  app.post('/json', async ({ body }) => ({ body }))
  app.get('/x/manifests/y', async () => 'mine')
  app.get('/files/*', async ({ params }) => ({ params }))

  for (const prefix of ['/v2', '/team/v2']) {
    t.strictSame((await app.inject(`${prefix}/a/manifests/x`)).json().params, { name: 'a', reference: 'x' })
    t.equal((await app.inject(`${prefix}/nothing`)).json().errors[0].code, 'UNSUPPORTED')
  }
  t.equal((await app.inject('/hello')).body, 'hello')
  t.equal((await app.inject({ method: 'HEAD', url: '/hello' })).statusCode, 200)
  t.equal((await app.inject('/x/manifests/y')).body, 'mine')
  t.strictSame((await app.inject('/files/a/tags/list')).json(), { params: { '*': 'a/tags/list' } })
  t.strictSame((await app.inject({ method: 'POST', url: '/json', payload: { a: 1 } })).json(), { body: { a: 1 } })
  const strange = await app.inject({ method: 'POST', url: '/json', payload: 'x', headers: { 'content-type': 'a/b' } })
  t.equal(strange.statusCode, 415, "the host's parsers stay the host's")
  t.match((await app.inject('/nothing')).json(), { error: 'Not Found', statusCode: 404 }, 'so do its errors')
})

t.test('an absolute request target is a path too (RFC 9112 section 3.2.2)', async t => {
  const app = await buildEdge(t, everyEndpoint)
  const { socket, until } = await openSocket(app)
  socket.end('GET http://h/v2/a/manifests/x HTTP/1.1\r\nHost: h\r\n\r\n')
  t.match(await until('"params"'), '{"params":{"name":"a","reference":"x"},"bodyType":""}')
  if (!socket.closed) await once(socket, 'close')
})

t.test('the description lists every documented operation under its own path, and nothing else', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(openapi, { title: 'a registry', version: '1' })
  const params = { type: 'object', properties: { name: { type: 'string' }, digest: { type: 'string' } } }
  await app.register(
    async scope => {
      await scope.register(ociRouting)
      const blob = { constraints: { ociEndpoint: 'blob' }, schema: { params, summary: 'Pull a blob' } }
      const config = { path: '/v2/{name}/blobs/{digest}', id: 'end-2' }
      scope.head('/*', { ...blob, config }, tell)
      scope.get('/*', { ...blob, config }, tell)
      scope.delete('/*', { ...blob, config: { ...config, id: 'end-10' } }, tell)
      scope.get('/', { config: { path: '/v2/', id: 'end-1' } }, tell)
      scope.get('/undocumented', tell)
    },
    { prefix: '/v2' }
  )
  const { paths, info } = (await app.inject('/openapi.json')).json()
  t.strictSame(info, { title: 'a registry', version: '1' })
  t.strictSame(Object.keys(paths).sort(), ['/v2/', '/v2/{name}/blobs/{digest}'])
  t.strictSame(Object.keys(paths['/v2/{name}/blobs/{digest}']).sort(), ['delete', 'get', 'head'])
  t.match(paths['/v2/{name}/blobs/{digest}'].get, {
    operationId: 'end-2',
    summary: 'Pull a blob',
    parameters: [{ name: 'name', in: 'path', required: true }, { name: 'digest' }]
  })
  t.match(await app.inject('/openapi'), { statusCode: 200, headers: { 'content-type': /text\/html/ } })
  const page = (await app.inject('/openapi')).body
  const [, script = ''] = /src="\.?\/?([^"]*swagger-initializer.js)"/.exec(page) ?? []
  t.match((await app.inject(`/${script.replace(/^\//, '')}`)).body, /openapi\/json|\/json/, 'the page loads')
  t.match(await app.inject('/openapi/static/swagger-ui.css'), { statusCode: 200 })
})
