import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { setImmediate as othersTurn } from 'node:timers/promises'
import { RegistryError } from '../registry/errors.ts'
import { countBytes } from './body-bytes.ts'
import { awaitBody, BodyIdle } from './idle.ts'
import { linger } from './linger.ts'

/** The connection broke, the client broke off, or it fell silent, before the body's end. */
export class BodyInterrupted extends Error {
  override readonly name = 'BodyInterrupted'
  /** The connection is still there, and an answer gets through. */
  readonly idle: boolean
  constructor(cause: unknown) {
    const idle = cause instanceof BodyIdle
    super(idle ? cause.message : 'the connection broke before the end of the body', { cause })
    this.idle = idle
  }
}

/** An unread body up to this many bytes is read to its end, so that the connection can be kept. */
const DRAIN_BYTES = 64 * 1024
/** Of a longer one this much is thrown away while the client notices the answer. */
const DISCARD_BYTES = 8 * 1024 * 1024

/**
 * After so many bytes of a body, others are served. Node.js reads a socket up to 32 times before it looks at the next one,
 * as long as what was read is taken at once: 2 MiB, and all others wait until they are hashed.
 */
const TURN_BYTES = 256 * 1024
/**
 * After so many pieces too. Node.js hands each chunk of a chunked body on by itself, be it of one byte, and what follows it
 * costs far more than its bytes. During the turn the rest of what was read from the socket gathers in the request's own
 * buffer, and then becomes one piece.
 */
const TURN_PIECES = 16
/** A shorter piece, in bytes, is joined with those that are there already, until it is as long. */
const SHORT_PIECE = 4 * 1024

/** Requests with `Expect: 100-continue` whose client still waits, with the response to tell it through. */
const awaitingContinue = new WeakMap<IncomingMessage, ServerResponse>()

/** Requests whose client fell silent: the rest of their body is not waited for. */
const silent = new WeakSet<IncomingMessage>()

/**
 * Leaves the answer to `Expect: 100-continue` to `bodyOf`, so that whoever refuses a request does so before its body is
 * sent. Without this Node invites every body before any handler runs.
 */
export function handleExpectContinue(server: Server): void {
  server.on('checkContinue', (request, response) => {
    awaitingContinue.set(request, response)
    server.emit('request', request, response)
  })
}

/**
 * A request's body as it comes in, with back-pressure. Nothing is read, and no client invited to send, before the first
 * pull; leaving the loop early keeps the connection for the answer. Throws `BodyInterrupted`.
 */
export async function* bodyOf({ raw }: { raw: IncomingMessage }): AsyncGenerator<Uint8Array, void, undefined> {
  const response = awaitingContinue.get(raw)
  awaitingContinue.delete(raw)
  if (response !== undefined && !response.headersSent) response.writeContinue()
  // Node would destroy the connection with the iterator.
  const chunks = raw.iterator({ destroyOnReturn: false })
  let waiting = false
  let [taken, pieces] = [0, 0]
  const count = countBytes(raw)
  try {
    for (;;) {
      waiting = true
      const next: IteratorResult<Uint8Array> = await awaitBody(raw, () => chunks.next())
      waiting = false
      if (next.done) return
      const piece = next.value.length < SHORT_PIECE ? joined(next.value, raw) : next.value
      taken += piece.length
      count.bytes += piece.length
      yield piece
      if (taken < TURN_BYTES && ++pieces < TURN_PIECES) continue
      taken = pieces = 0
      await othersTurn()
    }
  } catch (cause) {
    if (cause instanceof BodyIdle) silent.add(raw)
    throw new BodyInterrupted(cause)
  } finally {
    const left = chunks.return?.()
    // While it waits for a chunk that may never come, it can't be left at once.
    if (waiting) left?.catch(() => undefined)
    else await left
  }
}

/** A piece, with what follows it in the request's buffer. Up to Node.js 24 one read returns all of that, later just a piece. */
function joined(first: Uint8Array, raw: IncomingMessage): Uint8Array {
  const pieces = [first]
  for (let bytes = first.length; bytes < SHORT_PIECE; ) {
    const piece = raw.read() as Uint8Array | null
    if (piece === null) break
    pieces.push(piece)
    bytes += piece.length
  }
  return pieces.length === 1 ? first : Buffer.concat(pieces)
}

/**
 * A whole small body.
 *
 * @param limit most bytes it may have
 * @throws RegistryError `manifest-too-large`, before anything is read where Content-Length tells; `BodyInterrupted`
 */
export async function readBody(request: { raw: IncomingMessage }, limit: number): Promise<Buffer> {
  if (Number(request.raw.headers['content-length'] ?? 0) > limit)
    throw new RegistryError('manifest-too-large', { limit })
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bodyOf(request)) {
    size += chunk.length
    if (size > limit) throw new RegistryError('manifest-too-large', { limit })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, size)
}

/**
 * Called before an answer's headers go out. What is left of the request's body must not be taken for the next request: a
 * short rest is read and dropped, a longer one, or one that was never asked for, ends the connection with this answer.
 */
export function settleBody(request: IncomingMessage, reply: { header(name: string, value: string): unknown }): void {
  if (!hasBody(request) || request.readableEnded) return
  if (request.complete || isShort(request)) {
    request.resume()
    return
  }
  reply.header('connection', 'close')
  discard(request)
  // Node destroys the socket as soon as the answer is written, and the kernel then answers what the client still sends
  // with a reset, on which the client may lose the answer.
  request.socket.destroySoon = () => linger(request.socket)
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function isShort(request: IncomingMessage): boolean {
  if (request.headers['transfer-encoding'] !== undefined || awaitingContinue.has(request) || silent.has(request)) {
    return false
  }
  return Number(request.headers['content-length']) <= DRAIN_BYTES
}

function discard(request: IncomingMessage): void {
  let left = DISCARD_BYTES
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.pause()
  })
  request.resume()
}
