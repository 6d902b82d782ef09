import { once } from 'node:events'
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { FastifyInstance, InjectOptions } from 'fastify'
import type { Algorithm } from '../../src/registry/digest.ts'
import { digestOf, IMAGE, imageOf, json, NOTHING, random } from './images.ts'

export interface Answer {
  status: number
  headers: Record<string, string | undefined>
  body: Buffer
}

export interface Sending {
  headers?: OutgoingHttpHeaders
  body?: Buffer
  /** Send the body in chunks, without a Content-Length. */
  chunked?: boolean
}

/** Sends a request. The path may be the Location of an earlier answer, so a whole URL too: the host is not looked at. */
export type Send = (method: string, path: string, sending?: Sending) => Promise<Answer>

const CHUNKED = { 'transfer-encoding': 'chunked' }
const BYTES = { 'content-type': 'application/octet-stream' }

const targetOf = (location: string): string => location.replace(/^https?:\/\/[^/]+/, '')

const plain = (headers: OutgoingHttpHeaders): Answer['headers'] =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value === undefined ? undefined : String(value)])
  )

/** Requests that never leave the process. */
export const overInject =
  (app: FastifyInstance): Send =>
  async (method, path, { headers = {}, body, chunked } = {}) => {
    const answer = await app.inject({
      method: method as NonNullable<InjectOptions['method']>,
      url: targetOf(path),
      headers: chunked ? { ...headers, ...CHUNKED } : headers,
      payload: chunked ? Readable.from(piecesOf(body)) : body
    })
    // node:http sends no body in answer to a HEAD. This version of light-my-request returns it all the same.
    const sent = method === 'HEAD' ? NOTHING : answer.rawPayload
    return { status: answer.statusCode, headers: plain(answer.headers), body: sent }
  }

/** Requests over a connection each, with the path just as it is given. The app listens from then on. */
export async function overSocket(app: FastifyInstance): Promise<Send> {
  if (app.server.address() === null) await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return async (method, path, { headers = {}, body, chunked } = {}) => {
    const length = body && !chunked ? { 'content-length': body.length } : {}
    const framing = chunked ? CHUNKED : length
    const sent = request({ port, method, path: targetOf(path), headers: { ...framing, ...headers }, agent: false })
    for (const piece of piecesOf(body)) sent.write(piece)
    sent.end()
    const [answer] = (await once(sent, 'response')) as [IncomingMessage]
    return { status: answer.statusCode!, headers: plain(answer.headers), body: await buffer(answer) }
  }
}

function piecesOf(body: Buffer = NOTHING): Buffer[] {
  const size = 64 * 1024
  return Array.from({ length: Math.ceil(body.length / size) }, (_, index) =>
    body.subarray(index * size, (index + 1) * size)
  )
}

export type Client = ReturnType<typeof createClient>

/** What clients do with a registry. Steps that only lead to what is tested throw when they fail. */
export function createClient(send: Send) {
  const must = async (status: number, answer: Promise<Answer>): Promise<Answer> => {
    const got = await answer
    if (got.status !== status) throw new Error(`${got.status} where ${status} was wanted: ${got.body}`)
    return got
  }
  const get = (path: string, headers: OutgoingHttpHeaders = {}) => send('GET', path, { headers })
  const head = (path: string, headers: OutgoingHttpHeaders = {}) => send('HEAD', path, { headers })
  const del = (path: string) => send('DELETE', path)

  /** Opens an upload session and returns its Location. */
  async function begin(name: string, query = ''): Promise<string> {
    return (await must(202, send('POST', `/v2/${name}/blobs/uploads/${query}`))).headers.location!
  }
  const patch = (location: string, body: Buffer, { range, chunked }: { range?: string; chunked?: boolean } = {}) =>
    send('PATCH', location, {
      headers: { ...BYTES, ...(range && { 'content-range': range }) },
      body,
      chunked: !!chunked
    })
  const close = (
    location: string,
    digest: string,
    { body = NOTHING, range, chunked }: { body?: Buffer; range?: string; chunked?: boolean } = {}
  ) =>
    send('PUT', `${location}?digest=${digest}`, {
      headers: { ...BYTES, ...(range && { 'content-range': range }) },
      body,
      chunked: !!chunked
    })

  async function pushBlob(name: string, bytes: Buffer, algorithm: Algorithm = 'sha256'): Promise<string> {
    const digest = digestOf(bytes, algorithm)
    await must(201, close(await begin(name), digest, { body: bytes }))
    return digest
  }

  const putManifest = (name: string, reference: string, body: Buffer, type = IMAGE) =>
    send('PUT', `/v2/${name}/manifests/${reference}`, { headers: type ? { 'content-type': type } : {}, body })

  /** The manifest of an image whose blobs are in the repository; every one is unlike every other. */
  async function prepareImage(name: string, more: object = {}): Promise<Buffer> {
    const config = json({ architecture: 'amd64', os: 'linux', id: random(6).toString('hex') })
    const layer = random(64)
    await pushBlob(name, config)
    await pushBlob(name, layer)
    return json(imageOf(config, [layer], more))
  }

  /** Pushes an image under a tag, or by its digest alone. */
  async function pushImage(name: string, tag?: string, more: object = {}) {
    const bytes = await prepareImage(name, more)
    const digest = digestOf(bytes)
    const answer = await must(201, putManifest(name, tag ?? digest, bytes))
    return { bytes, digest, answer }
  }

  const getManifest = (name: string, reference: string, headers: OutgoingHttpHeaders = {}) =>
    get(`/v2/${name}/manifests/${reference}`, headers)

  async function tags(name: string, query = ''): Promise<string[]> {
    return parse(await must(200, get(`/v2/${name}/tags/list${query}`))).tags as string[]
  }
  async function referrers(name: string, digest: string, query = ''): Promise<Record<string, unknown>[]> {
    const answer = await must(200, get(`/v2/${name}/referrers/${digest}${query}`))
    return parse(answer).manifests as Record<string, unknown>[]
  }
  const requests = { send, get, head, del, must }
  return {
    ...requests,
    begin,
    patch,
    close,
    pushBlob,
    putManifest,
    prepareImage,
    pushImage,
    getManifest,
    tags,
    referrers
  }
}

export const parse = ({ body }: Answer): Record<string, unknown> => JSON.parse(body.toString())

/** Where the Link of an answer leads: `<…>; rel="next"`, and nothing else (RFC 8288). */
export const nextOf = ({ headers }: Answer): string | undefined => /^<(\S+)>; rel="next"$/.exec(headers.link ?? '')?.[1]
