import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { judge } from './judge.ts'
import { fuzz, type Target } from './target.ts'
import { headerOf, openWire } from './wire.ts'

/** A request as bytes, and what it can be held to. */
interface HostileRequest {
  method: string
  bytes: Buffer
  /** It is right in every way: there must be an answer. */
  sound: boolean
  /** In its body lies a request for this name. It must never be carried out. */
  smuggled: string | undefined
}

const PATIENCE = { answers: 1, silenceMs: 150 }
const SURE = { answers: 1, silenceMs: 20_000 }
const SENTINEL = Buffer.from('GET /v2/ HTTP/1.1\r\nHost: sentinel\r\n\r\n')
const SMUGGLED = 'smuggled'
const INNER = `GET /v2/${SMUGGLED}/tags/list HTTP/1.1\r\nHost: h\r\n\r\n`
const digest = `sha256:${createHash('sha256').update('x').digest('hex')}`

/** Sends hostile heads and bodies, 16 connections at a time. */
export async function fuzzHeads(target: Target): Promise<string> {
  const { port } = target.server
  const answered = new Map<number, number>()
  const runs = await fuzz(target, fc.array(hostileRequest, { minLength: 1, maxLength: 16 }), async requests => {
    await Promise.all(requests.map(request => exchange(port, request, target.parent, answered)))
  })
  const statuses = [...answered].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`)
  return `${runs} batches, answers ${statuses.join(', ')}`
}

async function exchange(port: number, request: HostileRequest, secret: string, answered: Map<number, number>) {
  const wire = openWire(port, index => index === 0 && request.method === 'HEAD')
  try {
    wire.send(request.bytes)
    const first = await wire.answers(request.sound ? SURE : PATIENCE)
    if (request.sound && first.answers.length === 0) throw new Error('no answer to a sound request')
    let { answers } = first
    const ends = answers.some(answer => headerOf(answer, 'connection') === 'close')
    if (!first.closed && !ends && answers.length > 0) {
      wire.send(SENTINEL)
      const sound = { answers: answers.length + 1, silenceMs: request.sound ? SURE.silenceMs : PATIENCE.silenceMs }
      const after = await wire.answers(sound)
      if (request.sound) isServed(after.answers.at(-1)!, after.answers.length === answers.length + 1)
      answers = after.answers
    }
    for (const [index, answer] of answers.entries()) {
      answered.set(answer.status, (answered.get(answer.status) ?? 0) + 1)
      judge(answer, { method: index === 0 ? request.method : 'GET', secret })
      if (request.smuggled && answer.body.includes(request.smuggled)) throw new Error('a body was taken for a request')
    }
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : error}\nto ${JSON.stringify(request.bytes.toString('latin1').slice(0, 1500))}`
    )
  } finally {
    wire.end()
  }
}

function isServed({ status, body }: { status: number; body: Buffer }, another: boolean): void {
  if (!another || status !== 200 || body.toString() !== '{}') {
    throw new Error(`the next request on the connection is answered ${another ? `${status} ${body}` : 'not at all'}`)
  }
}

const oneOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values)

const method = oneOf('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND')
const path = oneOf(
  '/v2/',
  '/v2',
  '/v2/_catalog?n=1',
  '/v2/fuzz/tags/list',
  '/v2/fuzz/tags/list?n=1&last=a',
  '/v2/fuzz/manifests/v1',
  `/v2/fuzz/manifests/${digest}`,
  `/v2/fuzz/blobs/${digest}`,
  '/v2/fuzz/blobs/uploads/',
  `/v2/fuzz/blobs/uploads/?digest=${digest}`,
  `/v2/fuzz/blobs/uploads/?mount=${digest}&from=other`,
  '/v2/fuzz/blobs/uploads/0b0e5e0f-0000-4000-8000-000000000000.abc.sha256.xyz',
  `/v2/fuzz/referrers/${digest}?artifactType=a`,
  '/openapi.json',
  '/openapi/nothing',
  '/nothing'
)
const header = oneOf(
  'Accept: application/vnd.oci.image.index.v1+json;q=0.5, */*;q=0',
  'Accept: ",",;q=;;;"',
  'Range: bytes=0-',
  'Range: bytes=18446744073709551616-,-5',
  'Content-Range: 0-99999999999999999999',
  'Content-Type: application/vnd.oci.image.manifest.v1+json',
  'Content-Type: ;;;',
  'If-None-Match: W/"x", *',
  'If-Range: "x"',
  'X-Forwarded-Prefix: //evil',
  'X-Forwarded-For: 1.1.1.1, ::1',
  'Cookie: a=b',
  'Connection: keep-alive',
  'Upgrade: h2c',
  'TE: trailers',
  `X: ${'y'.repeat(8000)}`
)

const soundRequest: fc.Arbitrary<HostileRequest> = fc
  .record({
    method,
    path,
    headers: fc.array(header, { maxLength: 3 }),
    body: fc.option(fc.record({ text: oneOf('', 'x', '{}', INNER, 'y'.repeat(70_000)), chunked: fc.boolean() }))
  })
  .map(({ method, path, headers, body }) => {
    const framed =
      body && method !== 'TRACE' ? (body.chunked ? chunked(body.text) : lengthed(body.text)) : { head: [], text: '' }
    const text = `${method} ${path} HTTP/1.1\r\n${['Host: h', ...new Set(headers), ...framed.head].join('\r\n')}\r\n\r\n${framed.text}`
    return { method, bytes: Buffer.from(text), sound: framed.text.length < 1000, smuggled: SMUGGLED }
  })

const lengthed = (text: string) => ({ head: [`Content-Length: ${text.length}`], text })
const chunked = (text: string) => ({
  head: ['Transfer-Encoding: chunked'],
  text: `${text === '' ? '' : `${text.length.toString(16)}\r\n${text}\r\n`}0\r\n\r\n`
})

/** Framing that two readers could understand in two ways: whichever it is, what lies in the body is no request. */
const ambiguous: fc.Arbitrary<HostileRequest> = fc
  .record({
    lines: fc.uniqueArray(
      oneOf(
        `Content-Length: ${INNER.length}`,
        `Content-Length: ${INNER.length}, ${INNER.length}`,
        `Content-Length: +${INNER.length}`,
        `Content-Length: 0x${INNER.length.toString(16)}`,
        `Content-Length : ${INNER.length}`,
        'Content-Length: 99999999999999999999999',
        'Content-Length: -1',
        'Transfer-Encoding: chunked',
        'Transfer-Encoding: Chunked, chunked',
        'Transfer-Encoding: chunked, identity',
        'Transfer-Encoding: identity',
        'Transfer-Encoding: xchunked',
        'Transfer-Encoding:\x0bchunked',
        'Transfer-Encoding : chunked',
        ' Transfer-Encoding: chunked',
        'X: y\r\n\tContent-Length: 1'
      ),
      { minLength: 2, maxLength: 3 }
    ),
    expect: oneOf([], ['Expect: 100-continue'], ['Expect: nonsense']),
    text: oneOf(INNER, `${INNER.length.toString(16)}\r\n${INNER}\r\n0\r\n\r\n`, `0\r\n\r\n${INNER}`),
    method: oneOf('POST', 'PUT', 'PATCH', 'GET'),
    path
  })
  .map(({ method, path, lines, expect, text }) => ({
    method,
    bytes: Buffer.from(
      `${method} ${path} HTTP/1.1\r\n${['Host: h', ...lines, ...expect].join('\r\n')}\r\n\r\n${text}`,
      'latin1'
    ),
    sound: false,
    smuggled: SMUGGLED
  }))

const chunkLine = oneOf(
  '0',
  '-1',
  '',
  'zz',
  '5',
  '5;a=b',
  `5;${'x'.repeat(20_000)}`,
  'ffffffffffffffff',
  '10000000000000000',
  ' 5',
  '5 ',
  '0x5',
  '5\n'
)
const brokenChunks: fc.Arbitrary<HostileRequest> = fc
  .record({
    method: oneOf('POST', 'PUT', 'PATCH'),
    path,
    chunks: fc.array(fc.tuple(chunkLine, oneOf('', 'hello', 'hello\r\n', 'hell', INNER)), { maxLength: 4 }),
    trailer: oneOf('', '\r\n', 'X: y\r\n\r\n', 'Content-Length: 5\r\n\r\n', `X: ${'z'.repeat(100_000)}\r\n\r\n`)
  })
  .map(({ method, path, chunks, trailer }) => {
    const body = chunks.map(([line, text]) => `${line}\r\n${text}`).join('\r\n')
    const head = `${method} ${path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n`
    // A last chunk in the middle makes what follows a request.
    return { method, bytes: Buffer.from(`${head}${body}${trailer}`), sound: false, smuggled: undefined }
  })

const target = oneOf(
  '*',
  'http://h/v2/',
  'http://h',
  'https://h?x',
  'h:80',
  '//h//v2//',
  'v2/',
  '',
  '/v2/\x7f',
  '/v2/\xff',
  '/v2/%',
  '/v2/%00/tags/list',
  '/v2/a b/tags/list',
  `/${'a/'.repeat(5000)}`,
  '/v2/#x',
  '/v2/;a=b'
)
const line = oneOf(
  'Host: h',
  'Host: h2',
  'host:',
  'Host: a@b/c',
  'X : y',
  ': y',
  'X',
  'X: a\0b',
  'X: \x01',
  ' folded',
  '\tfolded',
  'Expect: 100-continue',
  'Expect: x',
  `X: ${'y'.repeat(100_000)}`,
  'X: y\r\n'.repeat(3000),
  'X: y\nZ: w',
  'Content-Length: 3'
)
const brokenHead: fc.Arbitrary<HostileRequest> = fc
  .record({
    method: oneOf('GET', 'CONNECT', 'get', 'G\0T', 'PRI', 'OPTIONS', 'A'.repeat(1000)),
    target,
    version: oneOf('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.11', 'http/1.1', 'HTTP/1.1 x', ''),
    lines: fc.array(line, { maxLength: 4 }),
    end: oneOf('\r\n\r\n', '\n\n', '\r\n', '\r\r', '')
  })
  .map(({ method, target, version, lines, end }) => ({
    method,
    bytes: Buffer.from(`${[`${method} ${target} ${version}`, ...lines].join('\r\n')}${end}`, 'latin1'),
    sound: false,
    smuggled: undefined
  }))

/** A sound request with some bytes changed, taken out, doubled or cut off. */
const mutated: fc.Arbitrary<HostileRequest> = fc
  .record({
    request: soundRequest,
    edits: fc.array(fc.record({ at: fc.nat(), kind: oneOf('set', 'drop', 'double', 'cut'), byte: fc.nat(255) }), {
      minLength: 1,
      maxLength: 4
    })
  })
  .map(({ request, edits }) => {
    let { bytes } = request
    for (const { at, kind, byte } of edits) {
      const index = at % Math.max(bytes.length, 1)
      const [before, after] = [bytes.subarray(0, index), bytes.subarray(index)]
      if (kind === 'cut') bytes = before
      else if (kind === 'drop') bytes = Buffer.concat([before, after.subarray(1)])
      else if (kind === 'double') bytes = Buffer.concat([before, after.subarray(0, 100), after])
      else bytes = Buffer.concat([before, Buffer.of(byte), after.subarray(1)])
    }
    return {
      method: bytes.subarray(0, 4).equals(Buffer.from('HEAD')) ? 'HEAD' : 'GET',
      bytes,
      sound: false,
      smuggled: undefined
    }
  })
  // Of several answers to what might be a HEAD, none can be told apart.
  .filter(({ bytes }) => !bytes.includes('HEAD'))

const hostileRequest = fc.oneof(soundRequest, ambiguous, brokenChunks, brokenHead, mutated)
