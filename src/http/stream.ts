import type { FastifyReply } from 'fastify'

/**
 * Sends a body of `size` bytes. Each chunk is handed to the socket before the next one is asked for, because a store
 * may use its buffers again; in that time it reads ahead. Bytes at hand are handed back, to go the ordinary way.
 *
 * Once the head is sent a failure can only be told by breaking off: the client sees fewer bytes than were announced.
 *
 * @returns what the handler is to return
 */
export async function sendChunks(
  reply: FastifyReply,
  body: Buffer | AsyncIterable<Uint8Array>,
  size: number
): Promise<Buffer | FastifyReply> {
  reply.header('Content-Length', size)
  if (Buffer.isBuffer(body)) return body

  reply.hijack()
  const { raw } = reply
  raw.writeHead(reply.statusCode, reply.getHeaders() as Record<string, string>)
  let proceed = (): void => {}
  // A write that a closed socket will never take has no callback.
  raw.once('close', () => proceed())
  try {
    for await (const chunk of body) {
      if (raw.destroyed) break
      await new Promise<void>(resolve => {
        proceed = resolve
        raw.write(chunk, () => resolve())
      })
    }
    raw.end()
  } catch (error) {
    reply.log.error({ err: error }, 'a blob could not be read to its end; the connection was cut')
    raw.destroy()
  }
  return reply
}
