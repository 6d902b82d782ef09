import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { openSocket } from '../plugins/edge.ts'
import { holds, refused, told } from '../support/answers.ts'
import { absent, digestOf, NOTHING, random } from '../support/images.ts'
import { keysIn, type Opened, onEachDriver, uploadsIn } from '../support/registry.ts'

const MINUTE = 60_000

/** Checks that a session is unknown to every request that could name one. */
async function isGone(t: Test, registry: Opened, location: string, what: string, digest = absent()): Promise<void> {
  const { get, patch, close, del } = registry
  const gone = 'BLOB_UPLOAD_UNKNOWN'
  refused(t, await get(location), 404, gone, `GET, ${what}`)
  refused(t, await patch(location, random(3)), 404, gone, `PATCH, ${what}`)
  refused(t, await patch(location, random(3), { range: '0-2' }), 404, gone, `PATCH with a range, ${what}`)
  refused(t, await close(location, digest, { body: random(3) }), 404, gone, `PUT, ${what}`)
  refused(t, await close(location, digest), 404, gone, `PUT of nothing, ${what}`)
  refused(t, await del(location), 404, gone, `DELETE, ${what}`)
}

onEachDriver('a session that never was, is of another repository, or has ended is 404', async (t, registry) => {
  const { begin, patch, close, del, storage } = registry
  const bytes = random(9)
  const genuine = await begin('a')
  const id = genuine.slice('/v2/a/blobs/uploads/'.length)
  const made = ['x', '8b7b7c1e-0000-4000-8000-000000000000', '..%2f..', '%00', '...', 'uploads', id.slice(0, -1)]
  const other = (await begin('a')).split('.').at(-1)!
  for (const session of [
    ...made,
    id.replace(/[^.]*$/, other),
    `${id}x`,
    `${id}.x`,
    id.toUpperCase(),
    'x'.repeat(4000)
  ]) {
    await isGone(t, registry, `/v2/a/blobs/uploads/${session}`, `made up: ${session.slice(0, 80)}`)
  }
  await isGone(t, registry, genuine.replace('/a/', '/b/'), 'of another repository')

  const cancelled = (await patch(genuine, bytes)).headers.location!
  told(t, await del(cancelled), 204, { location: undefined }, 'DELETE of a session')
  for (const location of [genuine, cancelled]) await isGone(t, registry, location, 'cancelled')
  const untouched = await begin('a')
  told(t, await del(untouched), 204, {}, 'DELETE of a session without bytes')
  await isGone(t, registry, untouched, 'cancelled without bytes')

  const failed = (await patch(await begin('a'), bytes)).headers.location!
  const wrong = absent()
  refused(t, await close(failed, wrong), 400, 'DIGEST_INVALID', 'a wrong digest')
  await isGone(t, registry, failed, 'failed')
  refused(t, await close(failed, wrong), 404, 'BLOB_UPLOAD_UNKNOWN', 'the wrong digest again')
  refused(t, await close(failed, digestOf(bytes)), 404, 'BLOB_UPLOAD_UNKNOWN', 'the right digest on what failed')

  const finished = (await patch(await begin('a'), bytes)).headers.location!
  told(t, await close(finished, digestOf(bytes)), 201, {}, 'closing PUT')
  await isGone(t, registry, finished, 'finished')
  t.strictSame(await uploadsIn(storage), [], 'no upload is left')
  t.equal((await keysIn(storage, 'content/')).length, 1, 'no content but the one')
})

onEachDriver('a closing PUT that is repeated is 201 again, as long as the blob is there', async (t, registry) => {
  const { begin, patch, close, del, get } = registry
  const bytes = random(50)
  const digest = digestOf(bytes)
  const closed = (await patch(await begin('a'), bytes)).headers.location!
  const whole = await begin('a')
  const blob = { location: `/v2/a/blobs/${digest}`, 'docker-content-digest': digest }
  for (let times = 0; times < 3; times++) {
    told(t, await close(closed, digest), 201, blob, 'without a body')
    told(t, await close(whole, digest, { body: bytes }), 201, blob, 'with the whole body')
  }
  const answers = await Promise.all(Array.from({ length: 4 }, () => close(closed, digest)))
  for (const answer of answers) told(t, answer, 201, blob, 'several at once')
  holds(t, await get(blob.location), bytes, digest, 'blob')
  refused(t, await close(closed, digestOf(bytes, 'sha512')), 404, 'BLOB_UPLOAD_UNKNOWN', 'with another digest')

  await del(blob.location)
  refused(t, await close(closed, digest), 404, 'BLOB_UPLOAD_UNKNOWN', 'after the blob was deleted')
  told(t, await close(await begin('a'), digest, { body: bytes }), 201, blob, 'a new push')
  holds(t, await get(blob.location), bytes, digest, 'blob')
})

let time = 0

onEachDriver(
  'an idle session expires, and one that is used does not',
  async (t, registry) => {
    const { begin, patch, close, get } = registry
    const bytes = random(4)
    const idle = await begin('a')
    let used = await begin('a')
    for (let step = 0; step < 4; step++) {
      time += 6 * MINUTE
      const answer = step % 2 === 0 ? await patch(used, bytes.subarray(step / 2, step / 2 + 1)) : await get(used)
      t.ok(answer.status < 300, `${answer.status} at step ${step}`)
      used = answer.headers.location!
    }
    await isGone(t, registry, idle, 'expired')
    told(t, await close(used, digestOf(bytes), { body: bytes.subarray(2) }), 201, {}, 'closing PUT')
    time += 11 * MINUTE
    refused(t, await close(used, digestOf(bytes)), 404, 'BLOB_UPLOAD_UNKNOWN', 'the closing PUT again, too late')
  },
  { uploadExpiryMs: 10 * MINUTE, now: () => time }
)

onEachDriver('a session goes on in another process', async (t, registry) => {
  const { begin, patch, get } = registry
  const peer = await registry.peer()
  const whole = random(3000)
  const digest = digestOf(whole)
  const first = (await patch(await begin('a'), whole.subarray(0, 1000))).headers.location!
  const second = await peer.patch(first, whole.subarray(1000, 2000), { range: '1000-1999' })
  told(t, second, 202, { range: '0-1999' }, 'PATCH by the other')
  told(t, await get(first), 204, { range: '0-1999' }, 'status by the first')
  const late = await patch(first, whole.subarray(1000, 2000), { range: '1000-1999' })
  told(t, late, 416, { range: '0-1999' }, 'the same chunk by the first')
  const third = await patch(second.headers.location!, whole.subarray(2000, 2500))
  told(t, await peer.close(third.headers.location!, digest, { body: whole.subarray(2500) }), 201, {}, 'closing PUT')
  for (const { get } of [registry, peer]) holds(t, await get(`/v2/a/blobs/${digest}`), whole, digest, 'blob')
  told(t, await registry.close(third.headers.location!, digest), 201, {}, 'closing PUT again, by the first')
  await isGone(t, peer, first, 'finished')

  const cancelled = (await patch(await begin('a'), whole)).headers.location!
  told(t, await peer.del(cancelled), 204, {}, 'DELETE by the other')
  await isGone(t, registry, cancelled, 'cancelled by the other', digest)
})

/** Sends a request's head and the beginning of its body, and leaves the rest to the caller. */
async function sendPart(app: FastifyInstance, method: string, path: string, headers: string[], part: Buffer = NOTHING) {
  const opened = await openSocket(app)
  const head = [`${method} ${path} HTTP/1.1`, 'Host: h', ...headers, '', ''].join('\r\n')
  const arrived = once(app.server, 'request')
  opened.socket.write(head)
  opened.socket.write(part)
  const [request] = (await arrived) as [IncomingMessage]
  /** Waits until the handler has read all that was sent. */
  const taken = async (): Promise<void> => {
    const sent = head.length + part.length
    while (request.socket.bytesRead < sent || request.readableLength > 0 || !request.readableDidRead) await pause(2)
  }
  return { ...opened, taken }
}

/** Asks for the session's status until it tells the range: the server has to notice first. */
async function reaches({ get }: Opened, location: string, range: string): Promise<string> {
  for (;;) {
    const { headers } = await get(location)
    if (headers.range === range) return headers.location!
    await pause(5)
  }
}

onEachDriver('an upload that broke off goes on from what arrived', async (t, registry) => {
  const { app, begin, patch, close, get, storage } = registry
  const whole = random(400_000)
  const digest = digestOf(whole)
  let location = await begin('a')
  let at = 0
  const length = (size: number) => `Content-Length: ${size}`
  const range = (from: number) => `Content-Range: ${from}-${whole.length - 1}`
  const breaks: [method: string, sent: number, headers: (left: number, at: number) => string[]][] = [
    ['PATCH', 120_000, (left, at) => [length(left), range(at)]],
    ['PATCH', 1, left => [length(left)]],
    ['PUT', 100_000, (left, at) => [length(left), range(at)]]
  ]
  for (const [method, sent, headers] of breaks) {
    const path = method === 'PUT' ? `${location}?digest=${digest}` : location
    const part = whole.subarray(at, at + sent)
    const { socket, taken } = await sendPart(app, method, path, headers(whole.length - at, at), part)
    await taken()
    socket.destroy()
    at += sent
    location = await reaches(registry, location, `0-${at - 1}`)
    t.pass(`${method}: ${sent} bytes more were kept`)
  }
  const again = await patch(location, whole, { range: `0-${whole.length - 1}` })
  told(t, again, 416, { range: `0-${at - 1}` }, 'a client that begins anew')
  const rest = await patch(location, whole.subarray(at), { range: `${at}-${whole.length - 1}` })
  told(t, rest, 202, { range: `0-${whole.length - 1}` }, 'the rest')
  told(t, await close(rest.headers.location!, digest), 201, {}, 'closing PUT')
  holds(t, await get(`/v2/a/blobs/${digest}`), whole, digest, 'blob')

  const single = `/v2/a/blobs/uploads/?digest=${absent()}`
  const { socket, taken } = await sendPart(app, 'POST', single, [length(100_000)], whole.subarray(0, 500))
  await taken()
  // S3 hears of it when it ends or breaks off.
  t.equal((await uploadsIn(storage)).length, storage.name === 's3' ? 0 : 1, 'a single POST is under way')
  socket.destroy()
  while ((await uploadsIn(storage)).length > 0) await pause(5)
  t.equal((await keysIn(storage, 'content/')).length, 1, 'and leaves nothing when it breaks off')
})

onEachDriver('a newcomer takes a session over from a request that hangs', async (t, registry) => {
  const { app, begin, patch, close, get } = registry
  const whole = random(1000)
  const digest = digestOf(whole)
  const location = await begin('a')
  const first = Buffer.concat([Buffer.from('64\r\n'), whole.subarray(0, 100)])
  const hanging = await sendPart(app, 'PATCH', location, ['Transfer-Encoding: chunked'], first)
  await hanging.taken()
  const early = await patch(location, whole.subarray(500, 600), { range: '500-599' })
  told(t, early, 416, { range: '0-99' }, 'the newcomer is told what the other one brought')
  const taken = await patch(location, whole.subarray(100, 200), { range: '100-199' })
  told(t, taken, 202, { range: '0-199' }, 'the newcomer')
  const refusal = await hanging.until('"errors"')
  t.match(refusal, /^HTTP\/1.1 416 .*BLOB_UPLOAD_INVALID/s, 'the one that hung')
  hanging.socket.destroy()
  told(t, await close(taken.headers.location!, digest, { body: whole.subarray(200) }), 201, {}, 'closing PUT')
  holds(t, await get(`/v2/a/blobs/${digest}`), whole, digest, 'blob')
})

onEachDriver('Expect: 100-continue is refused before the body, or accepted', async (t, registry) => {
  const { app, begin, get, pushImage } = registry
  const { digest } = await pushImage('a')
  const bytes = random(5)
  const expecting = (method: string, path: string, size: number, ...more: string[]) =>
    sendPart(app, method, path, ['Expect: 100-continue', `Content-Length: ${size}`, ...more])
  const location = await begin('a')
  const refusals: [status: number, method: string, path: string, size?: number, ...headers: string[]][] = [
    [404, 'PATCH', `${location}x`],
    [404, 'PUT', `${location.replace('/a/', '/b/')}?digest=${absent()}`],
    [400, 'PUT', location],
    [400, 'PUT', `${location}?digest=md5:00`],
    [400, 'PATCH', location, 5, 'Content-Range: nonsense'],
    [400, 'PATCH', location, 5, 'Content-Range: 0-99'],
    [416, 'PATCH', location, 5, 'Content-Range: 7-11'],
    [416, 'PUT', `${location}?digest=${absent()}`, 5, 'Content-Range: 7-11'],
    [400, 'POST', '/v2/A/blobs/uploads/'],
    [400, 'POST', '/v2/a/blobs/uploads/?digest=nonsense'],
    [405, 'POST', `/v2/a/blobs/${digest}`],
    [413, 'PUT', '/v2/a/manifests/v1', 4 * 1024 * 1024 + 1],
    [400, 'PUT', '/v2/a/manifests/-bad'],
    [400, 'PUT', '/v2/a/manifests/v1?tag=-bad'],
    [404, 'PUT', '/nothing/here']
  ]
  for (const [status, method, path, size = 5, ...headers] of refusals) {
    const { socket, until } = await expecting(method, path, size, ...headers)
    t.match(await until('"errors"'), new RegExp(`^HTTP/1.1 ${status} `), `${method} ${path} ${headers}`)
    socket.destroy()
  }
  const patched = await expecting('PATCH', location, bytes.length)
  t.equal(await patched.until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n')
  patched.socket.write(bytes)
  t.match(await patched.until('202'), /HTTP\/1.1 202 .*range: 0-4\r\n/is)
  patched.socket.destroy()
  const { headers } = await get(location)
  const closed = await expecting('PUT', `${headers.location}?digest=${digestOf(bytes)}`, 0)
  t.match(await closed.until('201'), /HTTP\/1.1 201 /)
  closed.socket.destroy()
})
