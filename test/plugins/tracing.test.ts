import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { defaults } from '../../src/config.ts'
import { createRequestIds, traceIdOf } from '../../src/http/request-id.ts'
import { StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { createClient, overInject } from '../support/client.ts'
import { random } from '../support/images.ts'
import { createLog } from './edge.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const TRACEPARENT = `00-${TRACE}-b7ad6b7169203331-01`

interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  status: { code?: number }
  attributes: { key: string; value: Record<string, unknown> }[]
}

/** A collector of OpenTelemetry's, as far as it takes spans: OTLP over HTTP, in JSON. */
async function collector(t: Test) {
  const spans: Span[] = []
  const resources: unknown[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    t.match(request, { method: 'POST', url: '/v1/traces', headers: { 'content-type': 'application/json' } })
    for (const { resource, scopeSpans } of JSON.parse(Buffer.concat(chunks).toString()).resourceSpans) {
      resources.push(...resource.attributes)
      for (const scope of scopeSpans) spans.push(...scope.spans)
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return { spans, resources, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces` }
}

async function open(t: Test, otlp?: { url: string; serviceName?: string }, storage = createMemory()) {
  const { stream, lines } = createLog()
  const config = { ...defaults, openapiEnabled: false, ...(otlp && { otlp }) }
  const app = await buildApp(config, { storage, log: stream })
  t.teardown(() => app.close())
  return { app, lines, client: createClient(overInject(app)) }
}

const attribute = ({ attributes }: Span, key: string) =>
  Object.values(attributes.find(a => a.key === key)?.value ?? {})[0]

t.test('a request and what the storage does for it are one trace, which goes on from the client’s', async t => {
  const { spans, resources, url } = await collector(t)
  const { app, client, lines } = await open(t, { url, serviceName: 'images' })
  const { digest } = await client.pushImage('team/app', 'v1')
  await client.get('/v2/team/app/manifests/v1', { traceparent: TRACEPARENT })
  await client.get('/v2/nowhere?secret=1')
  await app.close()

  const pull = spans.find(({ name }) => name === 'GET /v2/{name}/manifests/{reference}')!
  t.match(pull, { traceId: TRACE, parentSpanId: 'b7ad6b7169203331', kind: 2 })
  t.equal(attribute(pull, 'http.response.status_code'), 200)
  t.equal(attribute(pull, 'url.path'), '/v2/team/app/manifests/v1')
  t.ok(spans.some(({ name, parentSpanId }) => name === 'storage list' && parentSpanId === pull.spanId))
  const push = spans.find(({ name }) => name.startsWith('PUT /v2/{name}/manifests'))!
  const puts = spans.filter(({ name, parentSpanId }) => name === 'storage put' && parentSpanId === push.spanId)
  t.ok(puts.length >= 2 && puts.every(({ traceId }) => traceId === push.traceId))
  t.not(push.traceId, TRACE)
  t.match(spans, [], 'every one has been sent before the end')
  t.ok(
    spans.some(({ name }) => name === 'GET'),
    'what no route takes has no name of its own'
  )
  t.notMatch(JSON.stringify(spans), 'secret', 'no query')
  t.match(JSON.stringify(resources), /"service.name","value":\{"stringValue":"images"\}/)

  const line = (url: string, method: string) =>
    lines.find(
      ({ req }) => (req as { url: string } | undefined)?.url === url && (req as { method: string }).method === method
    )
  t.equal(line('/v2/team/app/manifests/v1', 'GET')?.trace_id, TRACE)
  t.equal(
    line('/v2/team/app/manifests/v1', 'PUT')?.trace_id,
    push.traceId,
    'the log tells the trace of those without one'
  )
  t.type(digest, 'string')
})

t.test('what fails is told by its kind', async t => {
  const { spans, url } = await collector(t)
  const fault = new StorageError('unavailable', 'at /srv/hidden')
  const storage = createMemory({ faults: method => (method === 'put' ? fault : undefined) })
  const { app, client } = await open(t, { url }, storage)
  await client.send('POST', '/v2/a/blobs/uploads/', {})
  await app.close()
  const [request] = spans.filter(({ name }) => name.startsWith('POST'))
  t.match(request, { status: { code: 2 } })
  t.equal(attribute(request!, 'error.type'), '503')
  const [put] = spans.filter(({ name }) => name === 'storage put')
  t.equal(attribute(put!, 'error.type'), 'unavailable')
  t.notMatch(JSON.stringify(spans), 'hidden')
})

t.test('a collector that is away stops nothing', async t => {
  const { app, client } = await open(t, { url: 'http://127.0.0.1:9/v1/traces' })
  await client.pushBlob('a', random(10))
  await app.close()
})

t.test('without tracing the log has the trace that a client tells', async t => {
  const { app, lines } = await open(t)
  await app.inject({ url: '/v2/', headers: { traceparent: TRACEPARENT } })
  await app.inject({ url: '/v2/', headers: { traceparent: `00-${'0'.repeat(32)}-b7ad6b7169203331-01` } })
  await app.inject({ url: '/v2/', headers: { traceparent: 'nonsense' } })
  const told = lines.filter(({ req }) => req).map(({ trace_id }) => trace_id)
  t.strictSame(told, [TRACE, undefined, undefined])
})

t.test('a request’s id is the client’s or one of ours, in the answer as in the log', async t => {
  const { app, lines } = await open(t)
  const idOf = async (given?: string, url = '/v2/') => {
    const headers: Record<string, string> = given === undefined ? {} : { 'x-request-id': given }
    return (await app.inject({ url, headers })).headers['x-request-id']
  }
  t.equal(await idOf('abc-123'), 'abc-123')
  t.equal(await idOf('of-a-refusal', '/v2/A/tags/list'), 'of-a-refusal')
  t.equal(await idOf('of-no-route', '/nowhere'), 'of-no-route')
  const made = [await idOf(), await idOf(), await idOf('with space'), await idOf('x'.repeat(129)), await idOf('')]
  t.equal(new Set(made).size, made.length)
  for (const id of made) t.match(id, /^[\w-]{8}-\w+$/)
  const logged = lines.filter(({ req }) => req).map(({ reqId }) => reqId)
  t.strictSame(logged, ['abc-123', 'of-a-refusal', 'of-no-route', ...made])
})

t.test('whatever a client sends, an id is short and printable, and a trace id is one', async t => {
  const ids = createRequestIds()
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), id => /^[!-~]{1,128}$/.test(ids({ headers: { 'x-request-id': id } })))
  )
  fc.assert(
    fc.property(fc.string(), text => /^[\da-f]{32}$|^undefined$/.test(String(traceIdOf({ traceparent: text }))))
  )
  t.pass()
})
