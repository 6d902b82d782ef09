import type { Test } from 'tap'
import { holds, refused, told } from '../support/answers.ts'
import type { Answer } from '../support/client.ts'
import { ALGORITHMS, absent, digestOf, NOTHING, random } from '../support/images.ts'
import { keysIn, type Opened, onEachDriver, uploadsIn } from '../support/registry.ts'

const OCTETS = { 'content-type': 'application/octet-stream' }

/** Checks that a session says where it stands, and returns its Location. */
function stands(t: Test, answer: Answer, status: number, range: string, what: string): string {
  told(t, answer, status, { range }, what)
  const location = answer.headers.location ?? ''
  t.match(location, /^\/v2\/.+\/blobs\/uploads\/[^/?]+$/, what)
  t.ok(location.length < 300, `${what}: a Location of ${location.length} characters`)
  return location
}

onEachDriver(
  'a session without bytes says so in a form that clients read, and costs no storage',
  async (t, registry) => {
    const { send, get, head, begin, patch, close, storage } = registry
    await begin('other')
    const before = await keysIn(storage)

    const opened = await send('POST', '/v2/a/b/blobs/uploads/', { headers: { 'content-length': 0 } })
    const location = stands(t, opened, 202, '0-0', 'POST')
    const last = (answer: Answer) => answer.headers.location?.split('/').at(-1)
    for (const answer of [opened, await get(location)]) {
      t.match(last(answer), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\./)
      t.equal(answer.headers['docker-upload-uuid'], last(answer), '15.38: the header and the Location agree')
    }
    stands(t, await send('POST', '/v2/a/b/blobs/uploads'), 202, '0-0', 'POST without the last slash')
    stands(t, await get(location), 204, '0-0', 'status')
    stands(t, await head(location), 204, '0-0', 'status by HEAD')
    t.strictSame(await uploadsIn(storage), [], 'no upload')
    t.strictSame(await keysIn(storage), before, 'no key')

    let next = location
    for (const chunked of [true, false]) {
      next = stands(t, await patch(next, NOTHING, { chunked }), 202, '0-0', `PATCH of nothing, chunked: ${chunked}`)
      next = stands(t, await get(next), 204, '0-0', 'status after it')
    }
    told(t, await close(next, digestOf(NOTHING)), 201, { 'docker-content-digest': digestOf(NOTHING) }, 'closing PUT')
  }
)

type Push = (registry: Opened, name: string, bytes: Buffer, digest: string) => Promise<Answer>

const half = (bytes: Buffer): number => Math.ceil(bytes.length / 2)

/** Every way to push a blob that the spec has. */
const ways: Record<string, Push> = {
  'POST, PUT': async ({ begin, close }, name, body, digest) => close(await begin(name), digest, { body }),
  'POST, chunked PUT': async ({ begin, close }, name, body, digest) =>
    close(await begin(name), digest, { body, chunked: true }),
  'POST with the algorithm, PUT': async ({ begin, close }, name, body, digest) =>
    close(await begin(name, `?digest-algorithm=${digest.split(':')[0]}`), digest, { body }),
  'POST with the other algorithm, PUT': async ({ begin, close }, name, body, digest) =>
    close(await begin(name, `?digest-algorithm=${digest.startsWith('sha256') ? 'sha512' : 'sha256'}`), digest, {
      body
    }),
  'single POST': async ({ send }, name, body, digest) =>
    send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { headers: OCTETS, body }),
  'single chunked POST': async ({ send }, name, body, digest) =>
    send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { headers: OCTETS, body, chunked: true }),
  'PATCH, PUT': async ({ begin, patch, close }, name, body, digest) =>
    close((await patch(await begin(name), body)).headers.location!, digest),
  'chunked PATCH, chunked PUT of nothing': async ({ begin, patch, close }, name, body, digest) =>
    close((await patch(await begin(name), body, { chunked: true })).headers.location!, digest, { chunked: true }),
  'PATCH, PUT with the rest': async ({ begin, patch, close }, name, body, digest) => {
    const { headers } = await patch(await begin(name, '?digest-algorithm=sha512'), body.subarray(0, half(body)))
    return close(headers.location!, digest, { body: body.subarray(half(body)) })
  }
}

for (const [way, push] of Object.entries(ways)) {
  onEachDriver(`a blob pushed by ${way}`, async (t, registry) => {
    for (const algorithm of ALGORITHMS) {
      for (const size of [0, 1, 3000, 300_000]) {
        const bytes = random(size)
        const digest = digestOf(bytes, algorithm)
        const what = `${size} bytes, ${algorithm}`
        const pushed = await push(registry, 'some/name', bytes, digest)
        const location = `/v2/some/name/blobs/${digest}`
        told(t, pushed, 201, { location, 'docker-content-digest': digest, 'content-length': '0' }, what)
        holds(t, await registry.get(location), bytes, digest, what)
        told(t, await registry.head(location), 200, { 'content-length': String(size) }, what)
      }
    }
    t.strictSame(await uploadsIn(registry.storage), [], 'no upload is left open')
  })
}

onEachDriver(
  'a PUT without any body header is a closing one; a POST with a digest and no body opens',
  async (t, registry) => {
    const { send, begin, get } = registry
    const bytes = random(10)
    const empty = digestOf(NOTHING)
    told(t, await send('PUT', `${await begin('a')}?digest=${empty}`), 201, {}, 'PUT of nothing')
    const opened = await send('POST', `/v2/a/blobs/uploads/?digest=${digestOf(bytes)}`)
    const location = stands(t, opened, 202, '0-0', 'POST without a body')
    told(t, await registry.close(location, digestOf(bytes), { body: bytes }), 201, {}, 'PUT')
    holds(t, await get(`/v2/a/blobs/${digestOf(bytes)}`), bytes, digestOf(bytes), 'blob')
    told(t, await send('POST', `/v2/b/blobs/uploads/?digest=${empty}`), 201, {}, 'POST of the empty blob')
  }
)

onEachDriver('Range tells all bytes so far, and the URL stays short', async (t, registry) => {
  const { begin, patch, get, close } = registry
  const whole = random(600)
  let location = await begin('a')
  for (let at = 0; at < whole.length; at += 10) {
    const end = at + 9
    const forms = [{ range: `${at}-${end}` }, { range: `bytes ${at}-${end}/*` }, {}, { chunked: true }]
    const form = { ...forms[(at / 10) % forms.length] }
    const patched = await patch(location, whole.subarray(at, at + 10), form)
    location = stands(t, patched, 202, `0-${end}`, `PATCH at ${at}`)
    if (at % 100 === 0) location = stands(t, await get(location), 204, `0-${end}`, `status after ${at}`)
  }
  const digest = digestOf(whole)
  told(t, await close(location, digest), 201, { range: undefined }, 'closing PUT')
  holds(t, await get(`/v2/a/blobs/${digest}`), whole, digest, 'blob')
})

onEachDriver('a chunk out of order is 416, and the session lives on', async (t, registry) => {
  const { begin, patch, close, get } = registry
  const whole = random(15)
  const digest = digestOf(whole)
  const first = await begin('a')
  refused(t, await patch(first, whole.subarray(5, 10), { range: '5-9' }), 416, 'BLOB_UPLOAD_INVALID', 'not at 0')
  stands(t, await get(first), 204, '0-0', 'status after it')

  let location = (await patch(first, whole.subarray(0, 5), { range: '0-4' })).headers.location!
  const bad: [what: string, range: string][] = [
    ['a gap', '10-14'],
    ['a chunk once more', '0-4'],
    ['an overlap', '4-8'],
    ['one byte off', '6-10']
  ]
  for (const [what, range] of bad) {
    for (const chunked of [false, true]) {
      const patched = await patch(location, whole.subarray(5, 10), { range, chunked })
      refused(t, patched, 416, 'BLOB_UPLOAD_INVALID', `PATCH: ${what}`)
      stands(t, patched, 416, '0-4', `PATCH: ${what}`)
      const closed = await close(location, digest, { body: whole.subarray(5, 10), range, chunked })
      refused(t, closed, 416, 'BLOB_UPLOAD_INVALID', `PUT: ${what}`)
      told(t, closed, 416, { range: '0-4' }, `PUT: ${what}`)
      location = stands(t, await get(`${location}?digest=${digest}`), 204, '0-4', 'status, with the digest still there')
    }
  }
  location = stands(t, await patch(location, whole.subarray(5, 10), { range: '5-9' }), 202, '0-9', 'the right one')
  told(t, await close(location, digest, { body: whole.subarray(10), range: '10-14' }), 201, {}, 'closing PUT')
  holds(t, await get(`/v2/a/blobs/${digest}`), whole, digest, 'blob')
})

onEachDriver(
  'a Content-Range that the body contradicts is refused, and the status tells what was kept',
  async (t, registry) => {
    const { begin, patch, close, get, send } = registry
    const whole = random(20)
    const digest = digestOf(whole)
    for (const chunked of [false, true]) {
      for (const [body, range] of [
        [whole.subarray(0, 5), '0-9'],
        [whole.subarray(0, 15), '0-9'],
        [NOTHING, '0-9']
      ] as const) {
        const what = `${body.length} bytes as ${range}, chunked: ${chunked}`
        const location = await begin('a')
        refused(t, await patch(location, body, { range, chunked }), 400, 'SIZE_INVALID', `PATCH of ${what}`)
        const status = await get(location)
        const [, end = ''] = /^0-(\d+)$/.exec(status.headers.range ?? '') ?? []
        const at = end === '0' ? 0 : Number(end) + 1
        t.ok(at <= body.length, `${what}: ${at} bytes were kept`)
        const rest = { body: whole.subarray(at), range: `${at}-19` }
        told(t, await close(status.headers.location!, digest, rest), 201, {}, `the rest after ${what}`)
        const closed = await close(await begin('a'), digest, { body, range, chunked })
        refused(t, closed, 400, 'SIZE_INVALID', `PUT of ${what}`)
      }
    }
    for (const range of [
      '9-0',
      '0-',
      '-9',
      'a-b',
      '0-9/10',
      'bytes=0-9',
      '0-99999999999999999999',
      'bytes 0-19/10',
      ''
    ]) {
      const location = await begin('a')
      const headers = { ...OCTETS, 'content-range': range }
      for (const [method, path] of [
        ['PATCH', location],
        ['PUT', `${location}?digest=${digest}`],
        ['POST', `/v2/a/blobs/uploads/?digest=${digest}`]
      ] as const) {
        const answer = await send(method, path, { headers, body: whole })
        refused(t, answer, 400, 'BLOB_UPLOAD_INVALID', `${method} with Content-Range ${range}`)
      }
      stands(t, await get(location), 204, '0-0', 'the session lives on')
    }
  }
)

onEachDriver('15.38: a chunk that is out of order and of the wrong length is out of order', async (t, registry) => {
  const { begin, patch, send, get } = registry
  const first = random(10)
  for (const chunked of [false, true]) {
    let location = stands(t, await patch(await begin('a'), first), 202, '0-9', 'the first chunk')
    for (const range of ['5-14', '20-29', '20-400', '0-9']) {
      for (const [method, path] of [
        ['PATCH', location],
        ['PUT', `${location}?digest=${absent()}`]
      ] as const) {
        const headers = { ...OCTETS, 'content-range': range }
        const answer = await send(method, path, { headers, body: random(3), chunked })
        refused(t, answer, 416, 'BLOB_UPLOAD_INVALID', `${method} ${range}`)
        location = stands(t, answer, 416, '0-9', `${method} ${range}`)
      }
    }
    const headers = { ...OCTETS, 'content-range': '10-14' }
    const short = await send('PATCH', location, { headers, body: random(3), chunked })
    refused(t, short, 400, 'SIZE_INVALID', 'in order, and of the wrong length')
    t.equal((await get(location)).status, 204)
  }
})

onEachDriver('bytes of another digest are never there under it', async (t, registry) => {
  const { begin, patch, close, get, head, send, storage } = registry
  const bytes = random(300)
  for (const algorithm of ALGORITHMS) {
    const wrong = absent(algorithm)
    const post = (chunked: boolean) =>
      send('POST', `/v2/a/blobs/uploads/?digest=${wrong}`, { headers: OCTETS, body: bytes, chunked })
    const tries: Record<string, Answer> = {
      PUT: await close(await begin('a'), wrong, { body: bytes }),
      'chunked PUT': await close(await begin('a'), wrong, { body: bytes, chunked: true }),
      'PATCH, PUT': await close((await patch(await begin('a'), bytes)).headers.location!, wrong),
      'PUT of nothing': await close(await begin('a'), wrong),
      POST: await post(false),
      'chunked POST': await post(true)
    }
    for (const [way, answer] of Object.entries(tries)) refused(t, answer, 400, 'DIGEST_INVALID', `${way}, ${algorithm}`)
    refused(t, await get(`/v2/a/blobs/${wrong}`), 404, 'BLOB_UNKNOWN', 'GET')
    told(t, await head(`/v2/a/blobs/${wrong}`), 404, {}, 'HEAD')
  }
  t.strictSame(await keysIn(storage, 'content/'), [], 'no content is left')
  t.strictSame(await uploadsIn(storage), [], 'no upload is left')
  told(t, await close(await begin('a'), digestOf(bytes), { body: bytes }), 201, {}, 'a client that tries again')
})

onEachDriver('a digest that can not be one is refused, and the session lives on', async (t, registry) => {
  const { begin, send, close, get } = registry
  const bytes = random(30)
  const hex = digestOf(bytes).slice(7)
  const bad = [
    '',
    'sha256:short',
    `sha256:${hex.toUpperCase()}`,
    `sha512:${hex}`,
    `md5:${hex.slice(32)}`,
    hex,
    `:${hex}`
  ]
  const location = await begin('a')
  for (const digest of [...bad, `sha256:${hex}0`, `sha256%3A${hex}%00`, `SHA256:${hex}`]) {
    const answer = await send('PUT', `${location}?digest=${digest}`, { headers: OCTETS, body: bytes })
    refused(t, answer, 400, 'DIGEST_INVALID', `PUT of ${digest}`)
    if (digest === '') continue
    for (const query of [`digest=${digest}`, `mount=${digest}`, `mount=${digest}&from=b`]) {
      const posted = await send('POST', `/v2/a/blobs/uploads/?${query}`, { headers: OCTETS, body: bytes })
      refused(t, posted, 400, 'DIGEST_INVALID', `POST with ${query}`)
    }
  }
  refused(t, await send('PUT', location, { headers: OCTETS, body: bytes }), 400, 'DIGEST_INVALID', 'PUT without one')
  for (const algorithm of ['md5', 'SHA256', 'sha256:', '__proto__', 'constructor']) {
    const answer = await send('POST', `/v2/a/blobs/uploads/?digest-algorithm=${algorithm}`)
    refused(t, answer, 400, 'DIGEST_INVALID', `digest-algorithm ${algorithm}`)
  }
  stands(t, await get(location), 204, '0-0', 'status')
  told(
    t,
    await close(location, encodeURIComponent(`sha256:${hex}`), { body: bytes }),
    201,
    {},
    'the right one, escaped'
  )
})

onEachDriver('mounting', async (t, registry) => {
  const { pushBlob, send, get, close, begin } = registry
  const mount = (name: string, query: string) => send('POST', `/v2/${name}/blobs/uploads/?mount=${query}`)
  for (const algorithm of ALGORITHMS) {
    const bytes = random(25)
    const digest = await pushBlob('from/here', bytes, algorithm)
    const ways = {
      named: `${digest}&from=from/here`,
      escaped: `${encodeURIComponent(digest)}&from=from%2Fhere`,
      found: digest
    }
    for (const [way, query] of Object.entries(ways)) {
      const location = `/v2/to/${way}/blobs/${digest}`
      const what = `${way}, ${algorithm}`
      told(t, await mount(`to/${way}`, query), 201, { location, 'docker-content-digest': digest }, what)
      holds(t, await get(location), bytes, digest, what)
    }
    told(t, await mount('from/here', `${digest}&from=from/here`), 201, {}, 'from the repository itself')
    for (const query of [`${digest}&from=never/was/there`, absent(algorithm), `${absent(algorithm)}&from=from/here`]) {
      stands(t, await mount('elsewhere', query), 202, '0-0', `can't be mounted: ${query}`)
    }
    refused(t, await get(`/v2/elsewhere/blobs/${digest}`), 404, 'BLOB_UNKNOWN', 'not mounted')
    told(t, await mount('elsewhere', `${digest}&from=`), 201, {}, 'an empty from is none')
  }
  stands(t, await mount('elsewhere', ''), 202, '0-0', 'an empty mount is none')
  for (const from of ['UPPER/Case', 'a%xyz', '..%2F..%2Fetc', '%00', 'a//b']) {
    refused(t, await mount('a', `${absent()}&from=${from}`), 400, 'NAME_INVALID', `from=${from}`)
  }
  const bytes = random(26)
  const { headers } = await mount('a', `${digestOf(bytes)}&from=from/here`)
  told(t, await close(headers.location!, digestOf(bytes), { body: bytes }), 201, {}, 'the upload after a mount failed')

  const gone = await pushBlob('from/here', random(27))
  await registry.del(`/v2/from/here/blobs/${gone}`)
  stands(t, await mount('a', `${gone}&from=from/here`), 202, '0-0', 'what was deleted there')
  t.ok(await begin('a', '?mount=&from=&digest='), 'parameters that are all empty')
})

onEachDriver('several pushes of one blob at once all end well', async (t, registry) => {
  const { begin, close, send, get } = registry
  const bytes = random(20_000)
  const digest = digestOf(bytes)
  const pushes = Array.from({ length: 12 }, async (_, index) => {
    const name = index % 3 === 0 ? 'other' : 'a'
    if (index % 2 === 0) return close(await begin(name), digest, { body: bytes })
    return send('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { headers: OCTETS, body: bytes })
  })
  for (const answer of await Promise.all(pushes)) told(t, answer, 201, {}, 'push')
  for (const name of ['a', 'other']) holds(t, await get(`/v2/${name}/blobs/${digest}`), bytes, digest, name)
})
