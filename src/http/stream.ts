import type { FastifyReply } from 'fastify'
import { countBytes } from './body-bytes.ts'
import { logFault } from './faults.ts'

/**
 * Sends a body of `size` bytes. Each chunk is handed to the socket before the next one is asked for, because a store
 * may use its buffers again; in that time it reads ahead. Bytes at hand are handed back, to go the ordinary way.
 *
 * The head waits for the first chunk: what fails before it is thrown, and answered as anything else. From then on a failure
 * can only be told by breaking off: the client sees fewer bytes than were announced.
 *
 * @returns what the handler is to return
 */
export async function sendChunks(
  reply: FastifyReply,
  body: Buffer | AsyncIterable<Uint8Array>,
  size: number
): Promise<Buffer | FastifyReply> {
  if (Buffer.isBuffer(body)) {
    reply.header('Content-Length', size)
    return body
  }
  const chunks = body[Symbol.asyncIterator]()
  let next = await chunks.next()

  reply.hijack()
  reply.header('Content-Length', size)
  const { raw } = reply
  raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>)
  let proceed = (): void => {}
  const sent = countBytes(raw)
  // A write that a closed socket will never take has no callback.
  raw.once('close', () => proceed())
  try {
    while (!next.done && !raw.destroyed) {
      const { value } = next
      await new Promise<void>(resolve => {
        proceed = resolve
        raw.write(value, () => resolve())
      })
      if (raw.destroyed) break
      sent.bytes += value.length
      next = await chunks.next()
    }
    raw.end()
  } catch (error) {
    logFault(reply, { err: error }, 'a blob could not be read to its end; the connection was cut')
    raw.destroy()
  } finally {
    await chunks.return?.()
  }
  return reply
}
