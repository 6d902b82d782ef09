import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { BodyInterrupted, bodyOf, readBody } from '../../src/http/body.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import { buildEdge, createLog, openSocket } from '../plugins/edge.ts'

const LIMIT = 100_000

/** PUT does what the reference says: refuses, reads a part, answers early, or counts the body's bytes. */
async function edge(t: Test, log = createLog()) {
  const interrupted: unknown[] = []
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const { reference } = request.params as { reference: string }
    if (reference === 'refused') throw new RegistryError('manifest-invalid')
    if (reference === 'small') return { size: (await readBody(request, LIMIT)).length }
    if (reference === 'begun') reply.hijack().raw.write('so far')
    let size = 0
    try {
      for await (const chunk of bodyOf(request)) {
        size += chunk.length
        if (reference === 'partly') throw new RegistryError('manifest-invalid')
      }
    } catch (error) {
      interrupted.push(error)
      throw error
    }
    return { size }
  }
  const routes = async (scope: FastifyInstance) =>
    void scope.put('/*', { constraints: { ociEndpoint: 'manifest' } }, handler)
  const app = await buildEdge(t, routes, { log })
  return { app, interrupted, lines: log.lines }
}

const head = (reference: string, ...headers: string[]) =>
  [`PUT /v2/a/manifests/${reference} HTTP/1.1`, 'Host: h', ...headers, '', ''].join('\r\n')

t.test('bodies reach the handler whole, over inject and in every framing', async t => {
  const { app } = await edge(t)
  for (const payload of [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(300_000, 1)]) {
    const answer = await app.inject({ method: 'PUT', url: '/v2/a/manifests/x', payload })
    t.strictSame(answer.json(), { size: payload.length })
  }
  const streamed = await app.inject({ method: 'PUT', url: '/v2/a/manifests/x', payload: Readable.from(['ab', 'c']) })
  t.strictSame(streamed.json(), { size: 3 })

  const { socket, until } = await openSocket(app)
  socket.write(head('x', 'Content-Length: 0'))
  await until('{"size":0}')
  socket.write(head('x'))
  socket.write(`${head('x', 'Transfer-Encoding: chunked', 'Content-Type: ;;malformed')}3\r\nabc\r\n0\r\n\r\n`)
  t.match(await until('{"size":3}'), /200 OK.*200 OK.*200 OK/s)
  socket.destroy()
})

t.test('others are served while a body comes in faster than it is read', async t => {
  let left = 64
  const raw = new Readable({ read: () => void raw.push(left-- > 0 ? Buffer.alloc(64 * 1024) : null) })
  let turns = 0
  let reading = true
  const count = (): void => {
    turns++
    if (reading) setImmediate(count)
  }
  setImmediate(count)
  let size = 0
  for await (const chunk of bodyOf({ raw: Object.assign(raw, { headers: {} }) as never })) size += chunk.length
  reading = false
  t.equal(size, 64 * 64 * 1024)
  t.ok(turns >= 16, `${turns} turns of the event loop`)
})

t.test('readBody keeps to its limit', async t => {
  const { app } = await edge(t)
  const put = (payload: Buffer | Readable) => app.inject({ method: 'PUT', url: '/v2/a/manifests/small', payload })
  t.strictSame((await put(Buffer.alloc(LIMIT))).json(), { size: LIMIT })
  t.equal((await put(Buffer.alloc(LIMIT + 1))).statusCode, 413)
  t.equal((await put(Readable.from([Buffer.alloc(LIMIT), Buffer.alloc(1)]))).statusCode, 413, 'found out while reading')

  let reads = 0
  const raw = Object.assign(new Readable({ read: () => void reads++ }), { headers: { 'content-length': '101' } })
  await t.rejects(readBody({ raw: raw as never }, 100), { name: 'RegistryError', message: 'manifest-too-large' })
  t.equal(reads, 0, 'nothing is read when Content-Length tells')
})

t.test('Expect: 100-continue is answered when the body is wanted, and not before', async t => {
  const { app } = await edge(t)
  const wanted = await openSocket(app)
  wanted.socket.write(head('x', 'Expect: 100-continue', 'Content-Length: 3'))
  t.match(await wanted.until('100 Continue\r\n\r\n'), /^HTTP\/1.1 100 Continue\r\n\r\n$/)
  wanted.socket.write('abc')
  t.match(await wanted.until('{"size":3}'), /200 OK.*connection: keep-alive/is)
  wanted.socket.destroy()

  const refused = await openSocket(app)
  refused.socket.write(head('refused', 'Expect: 100-continue', 'Content-Length: 3'))
  await once(refused.socket, 'end')
  t.match(refused.answer(), /^HTTP\/1.1 400 .*connection: close.*MANIFEST_INVALID/is)
  refused.socket.destroy()
})

t.test('a refused body', async t => {
  const { app } = await edge(t)

  await t.test('that is short is dropped and the connection kept', async t => {
    const { socket, until } = await openSocket(app)
    socket.write(`${head('refused', 'Content-Length: 5')}GET /`)
    await until('MANIFEST_INVALID')
    socket.write(`${head('x', 'Content-Length: 2')}ab`)
    const answer = await until('{"size":2}')
    t.match(answer, /400 Bad Request.*200 OK/s)
    t.notMatch(answer, /connection: close/i)
    socket.destroy()
  })

  await t.test('whose client is gone at once', async t => {
    const { socket, until } = await openSocket(app)
    socket.write(`${head('refused', 'Content-Length: 1073741824')}abc`)
    await until('"errors"')
    socket.resetAndDestroy()
    t.equal((await app.inject('/v2/a/tags/list')).statusCode, 404, 'the app lives on')
  })

  for (const reference of ['refused', 'partly', 'small']) {
    await t.test(`of a GiB is not read: ${reference}`, async t => {
      const { socket, until } = await openSocket(app)
      const block = Buffer.alloc(1024 * 1024)
      let sent = 0
      const push = () => {
        while (sent < 1024 && !socket.destroyed && socket.write(block)) sent++
      }
      socket.on('drain', push)
      socket.write(head(reference, 'Content-Length: 1073741824'))
      push()
      const answer = await until('"errors"')
      t.match(answer, /^HTTP\/1.1 4\d\d .*connection: close.*MANIFEST_INVALID/is)
      push()
      if (!socket.closed) await once(socket, 'close')
      t.ok(sent < 200, `${sent} MiB were taken`)
      t.equal(socket.bytesRead, Buffer.byteLength(answer), 'nothing after the answer')
    })
  }
})

t.test('a client that leaves in mid-body', async t => {
  const { app, interrupted, lines } = await edge(t)
  for (const framing of ['Content-Length: 10', 'Transfer-Encoding: chunked']) {
    const { socket } = await openSocket(app)
    const before = interrupted.length
    socket.write(`${head('x', framing)}3\r\nabc`)
    await once(app.server, 'request')
    socket.destroy()
    while (interrupted.length === before) await new Promise(setImmediate)
    t.ok(interrupted.at(-1) instanceof BodyInterrupted, framing)
  }
  t.match(
    lines.filter(line => String(line.msg).startsWith('the connection broke')).map(line => line.level),
    [30, 30]
  )
  t.notOk(
    lines.some(line => Number(line.level) > 30),
    'nothing is logged as a fault'
  )
  t.equal((await app.inject('/v2/a/tags/list')).statusCode, 404, 'the app lives on')
})

t.test('a broken chunk is answered once, on the spot', async t => {
  const { app, interrupted } = await edge(t)
  const { socket, until, answer } = await openSocket(app)
  socket.write(`${head('x', 'Transfer-Encoding: chunked')}3\r\nabc\r\nzz\r\nmore`)
  t.match(await until('"errors"'), /^HTTP\/1.1 400 Bad Request/)
  if (!socket.closed) await once(socket, 'close')
  t.equal(answer().match(/HTTP\/1.1/g)?.length, 1)
  while (interrupted.length === 0) await new Promise(setImmediate)
  t.ok(interrupted[0] instanceof BodyInterrupted)

  const begun = await openSocket(app)
  begun.socket.write(`${head('begun', 'Transfer-Encoding: chunked')}3\r\nabc\r\n`)
  await begun.until('so far')
  begun.socket.write('zz\r\nmore')
  if (!begun.socket.closed) await once(begun.socket, 'close')
  t.equal(begun.answer().match(/HTTP\/1.1/g)?.length, 1, 'never after an answer began')
})

t.test('15.10: a body in chunks of one byte passes on in few pieces', async t => {
  const CHUNKS = 100_000
  let [pieces, bytes] = [0, 0]
  const server = createServer(async (request, response) => {
    for await (const piece of bodyOf({ raw: request })) {
      pieces++
      bytes += piece.length
      if (piece.some(byte => byte !== 120)) throw new Error('other bytes than were sent')
    }
    response.end('over')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(head('x', 'Transfer-Encoding: chunked', 'Connection: close'))
  socket.write(`${'1\r\nx\r\n'.repeat(CHUNKS)}0\r\n\r\n`)
  socket.resume()
  await once(socket, 'close')
  t.equal(bytes, CHUNKS)
  t.ok(pieces <= CHUNKS / 10, `${pieces} pieces`)
})
