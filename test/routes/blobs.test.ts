import { once } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { byteranges } from '../../src/http/byteranges.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { holds, refused, told } from '../support/answers.ts'
import type { Answer } from '../support/client.ts'
import { ALGORITHMS, absent, digestOf, NOTHING, random } from '../support/images.ts'
import { keysIn, onEachDriver, openRegistry } from '../support/registry.ts'

const urlOf = (digest: string, name = 'a') => `/v2/${name}/blobs/${digest}`

/** On both sides of what is kept in memory. */
const SIZES = [100, 200_000]

const described = (digest: string) => ({
  'docker-content-digest': digest,
  etag: `"${digest}"`,
  'accept-ranges': 'bytes',
  'content-type': 'application/octet-stream'
})

onEachDriver('GET and HEAD tell size, digest and type, whatever encoding the client takes', async (t, registry) => {
  const { pushBlob, get, head } = registry
  const wire = await registry.wire()
  for (const algorithm of ALGORITHMS) {
    for (const bytes of [NOTHING, random(1), Buffer.from('compressible '.repeat(30_000))]) {
      const digest = await pushBlob('a', bytes, algorithm)
      for (const encoding of [undefined, 'identity', 'gzip', 'gzip, deflate, br, zstd', '*']) {
        const headers = encoding === undefined ? {} : { 'accept-encoding': encoding }
        const what = `${bytes.length} bytes, ${algorithm}, Accept-Encoding ${encoding}`
        for (const client of [{ get, head }, wire]) {
          const got = await client.get(urlOf(digest), headers)
          holds(t, got, bytes, digest, what)
          told(t, got, 200, { ...described(digest), 'content-encoding': undefined }, `GET, ${what}`)
          const size = { 'content-length': String(bytes.length), 'content-encoding': undefined }
          const headed = await client.head(urlOf(digest), headers)
          told(t, headed, 200, { ...described(digest), ...size }, `HEAD, ${what}`)
          t.equal(headed.body.length, 0)
        }
      }
    }
  }
})

onEachDriver('what is not there is 404, whatever else the request asks', async (t, { get, head, del, pushBlob }) => {
  const there = await pushBlob('a', random(5))
  for (const [what, url] of [
    ['an unknown digest', urlOf(absent())],
    ['an unknown sha512 digest', urlOf(absent('sha512'))],
    ['a repository that is not there', urlOf(there, 'b')],
    ['a repository below', urlOf(there, 'a/b')]
  ] as const) {
    refused(t, await get(url), 404, 'BLOB_UNKNOWN', what)
    refused(t, await get(url, { range: 'bytes=0-1', 'if-none-match': '*' }), 404, 'BLOB_UNKNOWN', what)
    refused(t, await head(url), 404, 'BLOB_UNKNOWN', what, 'HEAD')
    refused(t, await del(url), 404, 'BLOB_UNKNOWN', what)
  }
})

onEachDriver('a single range', async (t, registry) => {
  const { pushBlob, head } = registry
  const { get } = await registry.wire()
  for (const size of SIZES) {
    const bytes = random(size)
    const digest = await pushBlob('a', bytes)
    const url = urlOf(digest)
    const end = size - 1
    const parts: [range: string, from: number, to: number][] = [
      ['bytes=0-', 0, end],
      ['bytes=0-0', 0, 0],
      ['bytes=5-9', 5, 9],
      ['BYTES= 5-9 ', 5, 9],
      [`bytes=${size - 10}-`, size - 10, end],
      [`bytes=${end}-${end}`, end, end],
      [`bytes=${end - 4}-${size + 100}`, end - 4, end],
      [`bytes=0-${size * 10}`, 0, end],
      ['bytes=-5', size - 5, end],
      [`bytes=-${size * 2}`, 0, end],
      ['bytes=7-99999999999999999999', 7, end]
    ]
    for (const [range, from, to] of parts) {
      const answer = await get(url, { range, 'accept-encoding': 'gzip' })
      const content = { 'content-range': `bytes ${from}-${to}/${size}`, 'content-length': String(to - from + 1) }
      told(t, answer, 206, { ...described(digest), ...content }, `${range} of ${size}`)
      t.ok(answer.body.equals(bytes.subarray(from, to + 1)), `${range} of ${size}: the bytes`)
    }
    const beyond = [`bytes=${size}-`, `bytes=${size}-${size + 100}`, 'bytes=999999999-', 'bytes=-0']
    for (const range of [...beyond, `bytes=${beyond.map(item => item.slice(6))}`, 'bytes=9-5', '500-0']) {
      const answer = await get(url, { range })
      refused(t, answer, 416, 'SIZE_INVALID', `${range} of ${size}`)
      told(t, answer, 416, { 'content-range': `bytes */${size}` }, `${range} of ${size}`)
    }
    const many = `bytes=${Array.from({ length: 17 }, (_, index) => `${2 * index}-${2 * index}`)}`
    for (const range of ['bytes=-', 'bytes=', 'bytes=a-b', 'bytes=0-1,b', 'items=0-1', '0-5', '', many]) {
      const answer = await get(url, { range })
      holds(t, answer, bytes, digest, `${range} of ${size} is ignored`)
      told(t, answer, 200, { 'content-range': undefined }, `${range} of ${size} is ignored`)
    }
    told(t, await head(url, { range: 'bytes=0-0' }), 200, { 'content-length': String(size) }, 'HEAD knows no ranges')
  }
  const empty = await pushBlob('a', NOTHING)
  holds(t, await get(urlOf(empty)), NOTHING, empty, 'the empty blob')
  for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
    told(t, await get(urlOf(empty), { range }), 416, { 'content-range': 'bytes */0' }, `${range} of nothing`)
  }
})

onEachDriver('15.35: several ranges', async (t, registry) => {
  const { pushBlob, head } = registry
  const { get } = await registry.wire()
  // The last one is longer than a buffer of a folder or of a bucket.
  for (const size of [...SIZES, 3_000_000]) {
    const bytes = random(size)
    const digest = await pushBlob('a', bytes)
    const url = urlOf(digest)
    const end = size - 1
    const sixteen = Array.from({ length: 16 }, (_, index): [number, number] => [6 * index, 6 * index + 2])
    const cases: [range: string, parts: [from: number, to: number][]][] = [
      [
        'bytes=0-1,5-9',
        [
          [0, 1],
          [5, 9]
        ]
      ],
      [
        'bytes=5-9, 0-1',
        [
          [0, 1],
          [5, 9]
        ]
      ],
      [
        'bytes=0-1,2-9',
        [
          [0, 1],
          [2, 9]
        ]
      ],
      [
        `bytes=-3,0-0,50-60,55-70,${size}-`,
        [
          [0, 0],
          [50, 70],
          [size - 3, end]
        ]
      ],
      [`bytes=${sixteen.map(([from, to]) => `${from}-${to}`)}`, sixteen],
      [
        `bytes=1-,0-0`,
        [
          [0, 0],
          [1, end]
        ]
      ]
    ]
    for (const [range, parts] of cases) {
      for (const more of [{}, { 'if-range': `"${digest}"` }]) {
        const answer = await get(url, { range, 'accept-encoding': 'gzip', ...more })
        const what = `${range} of ${size}`
        const length = { 'content-length': String(answer.body.length), 'content-range': undefined }
        told(t, answer, 206, { ...described(digest), 'content-type': answer.headers['content-type'], ...length }, what)
        const wanted = parts.map(([from, to]) => ({
          type: 'application/octet-stream',
          range: `bytes ${from}-${to}/${size}`,
          bytes: bytes.subarray(from, to + 1)
        }))
        t.ok(isDeepStrictEqual(partsOf(answer), wanted), `${what}: the parts`)
      }
    }
    for (const [range, from, to] of [
      ['bytes=0-5,3-9', 0, 9],
      [`bytes=${size}-,4-4`, 4, 4]
    ] as const) {
      const answer = await get(url, { range })
      const content = { ...described(digest), 'content-range': `bytes ${from}-${to}/${size}` }
      told(t, answer, 206, content, `${range} of ${size}: one is left`)
      t.ok(answer.body.equals(bytes.subarray(from, to + 1)))
    }
    holds(t, await get(url, { range: 'bytes=0-1,5-9', 'if-range': '"other"' }), bytes, digest, 'If-Range of another')
    told(t, await head(url, { range: 'bytes=0-1,5-9' }), 200, { 'content-length': String(size) }, 'HEAD')
  }
})

t.test('15.35: a body of several parts is what a reader of multipart takes apart, whatever the pieces', async () => {
  const cut = fc.record({ start: fc.nat(50), length: fc.integer({ min: 1, max: 50 }) })
  await fc.assert(
    fc.asyncProperty(
      fc.array(cut, { minLength: 2, maxLength: 6 }),
      fc.integer({ min: 1, max: 9 }),
      async (cuts, piece) => {
        const content = random(100)
        const ranges = cuts.map(({ start, length }) => ({ start, end: start + length - 1 }))
        // As a driver does, it uses one buffer for all pieces.
        const buffer = Buffer.alloc(piece)
        async function* pieces({ start, end }: { start: number; end: number }) {
          for (let at = start; at <= end; at += piece) {
            const size = content.copy(buffer, 0, at, Math.min(at + piece, end + 1))
            yield buffer.subarray(0, size)
          }
        }
        const { contentType, length, chunks } = byteranges(ranges, 100, async range => pieces(range))
        const sent: Buffer[] = []
        for await (const chunk of chunks) sent.push(Buffer.from(chunk))
        const body = Buffer.concat(sent)
        const parts = partsOf({ status: 206, headers: { 'content-type': contentType }, body })
        return (
          body.length === length &&
          isDeepStrictEqual(
            parts.map(part => part.bytes),
            ranges.map(({ start, end }) => content.subarray(start, end + 1))
          )
        )
      }
    )
  )
})

t.test(
  '15.35: a part that can not be read is told by a status before anything is sent, and ends the answer after',
  async t => {
    const memory = createMemory()
    let failing = 0
    const storage: StorageDriver = {
      ...memory,
      read: async (key, range) => {
        if (--failing === 0) throw new StorageError('unavailable', 'the store is away')
        return memory.read(key, range)
      }
    }
    const registry = await openRegistry(t, storage)
    const digest = await registry.pushBlob('a', random(200_000))
    const { get } = await registry.wire()
    const headers = { range: 'bytes=0-9,100000-199999' }
    failing = 1
    const refusal = await get(urlOf(digest), headers)
    told(t, refusal, 503, { 'content-type': 'application/json', 'content-range': undefined }, 'the first part')
    failing = 2
    await t.rejects(get(urlOf(digest), headers), 'the second part')
    told(t, await get(urlOf(digest), headers), 206, {}, 'afterwards')
  }
)

/** Takes a `multipart/byteranges` apart by its boundaries alone (RFC 2046 section 5.1). */
function partsOf({ headers, body }: Answer): { type?: string; range?: string; bytes: Buffer }[] {
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(headers['content-type'] ?? '')?.[1]
  const text = `\r\n${body.toString('latin1')}`
  const [before, ...parts] = text.split(`\r\n--${boundary}`)
  if (before !== '' || parts.pop() !== '--\r\n') throw new Error(`no multipart: ${text.slice(0, 200)}`)
  return parts.map(part => {
    const end = part.indexOf('\r\n\r\n')
    const fields = Object.fromEntries(
      part
        .slice(2, end)
        .split('\r\n')
        .map(line => line.toLowerCase().split(': '))
    )
    return {
      type: fields['content-type'],
      range: fields['content-range'],
      bytes: Buffer.from(part.slice(end + 4), 'latin1')
    }
  })
}

onEachDriver('If-Range', async (t, { pushBlob, get }) => {
  const bytes = random(100)
  const digest = await pushBlob('a', bytes)
  const url = urlOf(digest)
  const range = 'bytes=10-19'
  for (let times = 0; times < 2; times++) {
    told(t, await get(url, { range, 'if-range': `"${digest}"` }), 206, { 'content-length': '10' }, 'the same')
    for (const other of ['"other"', `W/"${digest}"`, 'Wed, 21 Oct 2026 07:28:00 GMT', 'nonsense', '']) {
      holds(t, await get(url, { range, 'if-range': other }), bytes, digest, `If-Range ${other}`)
      const beyond = await get(url, { range: 'bytes=100-', 'if-range': other })
      holds(t, beyond, bytes, digest, `If-Range ${other}, beyond the end`)
    }
  }
  told(t, await get(url, { range: 'bytes=100-', 'if-range': `"${digest}"` }), 416, {}, 'the same, beyond the end')
})

onEachDriver('If-None-Match', async (t, registry) => {
  const { pushBlob } = registry
  const wire = await registry.wire()
  for (const size of SIZES) {
    const bytes = random(size)
    const digest = await pushBlob('a', bytes)
    const { etag } = described(digest)
    const url = urlOf(digest)
    for (const given of [etag, `W/${etag}`, `"other", ${etag}`, `"other",W/"more",${etag}`, '*', digest]) {
      for (const method of ['GET', 'HEAD', 'GET']) {
        const answer = await wire.send(method, url, { headers: { 'if-none-match': given, range: 'bytes=0-1' } })
        told(t, answer, 304, { etag, 'docker-content-digest': digest }, `${method}, If-None-Match: ${given}`)
        t.equal(answer.body.length, 0)
      }
    }
    for (const given of ['"other"', `"${absent()}"`, '', '"']) {
      holds(t, await wire.get(url, { 'if-none-match': given }), bytes, digest, `If-None-Match: ${given}`)
    }
  }
})

onEachDriver('a connection is good for many requests, and one that breaks harms nobody', async (t, registry) => {
  const { pushBlob, get, app } = registry
  const bytes = random(8 * 1024 * 1024)
  const digest = await pushBlob('a', bytes)
  const small = await pushBlob('a', Buffer.from('0123456789'))
  const ask = (path: string, ...headers: string[]) =>
    [`GET ${path} HTTP/1.1`, 'Host: h', ...headers, '', ''].join('\r\n')

  const kept = await openSocket(app)
  const requests = [ask(urlOf(absent())), ask(urlOf(small), 'If-None-Match: *'), ask(urlOf(small), 'Range: bytes=99-')]
  for (const [index, request] of requests.entries()) {
    kept.socket.write(request)
    await kept.until(['404 Not Found', '304 Not Modified', '416 Range Not'][index]!)
  }
  kept.socket.write(ask(urlOf(small), 'Range: bytes=0-3', 'Connection: close'))
  await once(kept.socket, 'close')
  t.match(kept.answer(), /206 Partial Content.*\r\n\r\n0123$/s, 'the fourth on one connection')

  const broken = await openSocket(app)
  broken.socket.write(ask(urlOf(digest)))
  await broken.until('HTTP/1.1 200')
  broken.socket.destroy()
  holds(t, await get(urlOf(digest)), bytes, digest, 'the next client')
})

onEachDriver('DELETE takes a blob out of one repository, and it can be pushed again', async (t, registry) => {
  const { pushBlob, get, head, del, send } = registry
  for (const algorithm of ALGORITHMS) {
    const bytes = random(33)
    const digest = await pushBlob('a', bytes, algorithm)
    await pushBlob('b', bytes, algorithm)
    for (let times = 0; times < 2; times++) {
      told(t, await head(urlOf(digest)), 200, {}, 'HEAD')
      told(t, await del(urlOf(digest)), 202, { 'content-length': '0' }, 'DELETE')
      refused(t, await head(urlOf(digest)), 404, 'BLOB_UNKNOWN', 'HEAD after it', 'HEAD')
      refused(t, await get(urlOf(digest)), 404, 'BLOB_UNKNOWN', 'GET after it')
      refused(t, await get(urlOf(digest), { 'if-none-match': '*' }), 404, 'BLOB_UNKNOWN', 'a conditional GET after it')
      refused(t, await del(urlOf(digest)), 404, 'BLOB_UNKNOWN', 'DELETE again')
      holds(t, await get(urlOf(digest, 'b')), bytes, digest, 'in the other repository')
      await pushBlob('a', bytes, algorithm)
      holds(t, await get(urlOf(digest)), bytes, digest, 'pushed again')
    }
    await del(urlOf(digest))
    const mounted = await send('POST', `/v2/a/blobs/uploads/?mount=${digest}&from=b`)
    told(t, mounted, 201, {}, 'mounted after it was deleted')
    holds(t, await get(urlOf(digest)), bytes, digest, 'mounted')
  }
})

onEachDriver(
  'DELETE_ENABLED=false',
  async (t, registry) => {
    const { pushBlob, pushImage, get, getManifest, send, begin, storage } = registry
    const bytes = random(10)
    const blob = await pushBlob('a', bytes)
    const image = await pushImage('a', 'v1')
    const before = await keysIn(storage)
    for (const [path, allow] of [
      [urlOf(blob), 'GET, HEAD'],
      [urlOf(absent()), 'GET, HEAD'],
      ['/v2/a/manifests/v1', 'GET, HEAD, PUT'],
      [`/v2/a/manifests/${image.digest}`, 'GET, HEAD, PUT'],
      ['/v2/never/manifests/v1', 'GET, HEAD, PUT']
    ] as const) {
      const answer = await send('DELETE', path)
      refused(t, answer, 405, 'UNSUPPORTED', `DELETE ${path}`)
      told(t, answer, 405, { allow }, `DELETE ${path}`)
    }
    t.strictSame(await keysIn(storage), before, 'nothing was changed')
    holds(t, await get(urlOf(blob)), bytes, blob, 'the blob')
    holds(t, await getManifest('a', 'v1'), image.bytes, image.digest, 'the manifest')
    refused(t, await send('DELETE', '/v2/A/manifests/v1'), 400, 'NAME_INVALID', 'a bad name is still one')
    told(t, await send('DELETE', await begin('a')), 204, {}, 'an upload can be cancelled all the same')
  },
  { deleteEnabled: false }
)

onEachDriver('the same bytes under two digests are two blobs', async (t, { pushBlob, get, del }) => {
  const bytes = random(70_000)
  const [short, long] = [await pushBlob('a', bytes), await pushBlob('a', bytes, 'sha512')]
  t.equal(long, digestOf(bytes, 'sha512'))
  for (const digest of [short, long]) holds(t, await get(urlOf(digest)), bytes, digest, digest.slice(0, 6))
  await del(urlOf(short))
  refused(t, await get(urlOf(short)), 404, 'BLOB_UNKNOWN', 'the deleted one')
  holds(t, await get(urlOf(long)), bytes, long, 'the other')
})
