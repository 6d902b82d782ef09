import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** What goes wrong with an answer. */
export type Fault =
  /** It is this status with an OCI error body, and the request is not done. 429 and 503 say `Retry-After: 0`. */
  | { status: number; headers?: Record<string, string> }
  /** The connection breaks after so many bytes of the body; 0: after the head. */
  | { cutAfterBytes: number }
  /** The body has one bit that is wrong: its length is right, its digest is not. */
  | { corrupt: true }
  /** `Docker-Content-Digest` tells another digest than that of the body. */
  | { wrongDigest: true }
  /** The request is done only after so many milliseconds. */
  | { delayMs: number }
  /** The body comes slowly. */
  | { bytesPerSecond: number }

/** Which requests a fault meets. */
export interface Meets {
  /** As `GET`; undefined: any. */
  method?: string | undefined
  /** What the path with its query begins with, or matches; undefined: any. */
  path?: string | RegExp | undefined
  /** How many requests; default: one. */
  times?: number | undefined
}

/** A fault that still waits for requests. */
export interface Waiting {
  fault: Fault
  meets: Meets
  left: number
}

/** The first fault that meets a request; it is used up by one. */
export function nextFault(waiting: readonly Waiting[], { method, url = '' }: IncomingMessage): Fault | undefined {
  const met = waiting.find(
    ({ left, meets }) => left > 0 && (meets.method ?? method) === method && matches(url, meets.path)
  )
  if (!met) return undefined
  met.left--
  return met.fault
}

function matches(url: string, path: string | RegExp | undefined): boolean {
  if (path === undefined) return true
  return typeof path === 'string' ? url.startsWith(path) : path.test(url)
}

/** Answers with the fault, or has the request done and its answer spoiled. */
export async function applyFault(fault: Fault, response: ServerResponse, handle: () => void): Promise<void> {
  if ('status' in fault) return answer(response, fault.status, fault.headers)
  if ('delayMs' in fault) await sleep(fault.delayMs)
  if ('cutAfterBytes' in fault) cut(response, fault.cutAfterBytes)
  if ('corrupt' in fault) corrupt(response)
  if ('wrongDigest' in fault) tellWrongDigest(response)
  if ('bytesPerSecond' in fault) slowDown(response, fault.bytesPerSecond)
  handle()
}

function answer(response: ServerResponse, status: number, headers: Record<string, string> = {}): void {
  const code =
    status === 429 ? 'TOOMANYREQUESTS' : status === 401 ? 'UNAUTHORIZED' : status === 403 ? 'DENIED' : 'UNKNOWN'
  const body = JSON.stringify({ errors: [{ code, message: 'a fault that the test asked for', detail: {} }] })
  const again = status === 429 || status === 503 ? { 'Retry-After': '0' } : {}
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': body.length,
    ...again,
    ...headers
  })
  response.end(body)
}

type Callback = (error?: Error | null) => void
/** Sends bytes on, as they are or not. */
type Send = (bytes: Buffer | undefined, done: Callback) => void

/** Puts `send` between whoever answers and the connection; `undefined` is the body's end. */
function through(response: ServerResponse, send: (write: Send) => Send): void {
  const write = response.write.bind(response)
  const end = response.end.bind(response)
  const spoiled = send((bytes, done) => (bytes === undefined ? end(done) : write(bytes, done)))
  const nothing: Callback = () => undefined
  const parts = (given: unknown[]) => {
    const [chunk, encoding] = given
    const done = (given.find(one => typeof one === 'function') ?? nothing) as Callback
    if (chunk === undefined || chunk === null || typeof chunk === 'function') return { done }
    return {
      bytes:
        typeof chunk === 'string' ? Buffer.from(chunk, encoding as BufferEncoding) : Buffer.from(chunk as Uint8Array),
      done
    }
  }
  response.write = ((...given: unknown[]) => {
    const { bytes, done } = parts(given)
    spoiled(bytes ?? Buffer.alloc(0), done)
    return true
  }) as typeof response.write
  response.end = ((...given: unknown[]) => {
    const { bytes, done } = parts(given)
    if (bytes) spoiled(bytes, nothing)
    spoiled(undefined, done)
    return response
  }) as typeof response.end
}

function cut(response: ServerResponse, after: number): void {
  let left = after
  through(response, write => (bytes, done) => {
    if (bytes === undefined) return write(undefined, done)
    const kept = bytes.subarray(0, left)
    left -= kept.length
    if (kept.length === bytes.length && left > 0) return write(bytes, done)
    response.flushHeaders()
    write(kept, () => response.socket?.destroySoon())
  })
}

function corrupt(response: ServerResponse): void {
  let done = false
  through(response, write => (bytes, written) => {
    if (bytes && bytes.length > 0 && !done) {
      done = true
      bytes[0]! ^= 1
    }
    write(bytes, written)
  })
}

function slowDown(response: ServerResponse, bytesPerSecond: number): void {
  let before = Promise.resolve()
  through(response, write => (bytes, done) => {
    before = before.then(async () => {
      if (bytes === undefined) return write(undefined, done)
      const atOnce = Math.max(1, Math.ceil(bytesPerSecond / 20))
      for (let from = 0; from < bytes.length && !response.destroyed; from += atOnce) {
        write(bytes.subarray(from, from + atOnce), () => undefined)
        await sleep((1000 * atOnce) / bytesPerSecond)
      }
      done()
    })
  })
}

function tellWrongDigest(response: ServerResponse): void {
  const writeHead = response.writeHead.bind(response)
  const wrong = (name: string, value: unknown) =>
    name.toLowerCase() === 'docker-content-digest' ? `sha256:${'0'.repeat(64)}` : value
  response.writeHead = ((status: number, headers: object | unknown[] = {}) => {
    const spoiled = Array.isArray(headers)
      ? headers.map((value, index) => (index % 2 ? wrong(String(headers[index - 1]), value) : value))
      : Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, wrong(name, value)]))
    return writeHead(status, spoiled as Record<string, string>)
  }) as typeof response.writeHead
}
