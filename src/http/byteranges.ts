import { randomBytes } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import type { ByteRange } from '../storage/driver.ts'
import { sendChunks } from './stream.ts'

/** Opens a part of some content. A chunk is valid until the next one is asked for. */
type Read = (range: ByteRange) => Promise<Buffer | AsyncIterable<Uint8Array>>

/**
 * Answers with parts of some content of `size` bytes (RFC 9110 section 15.3.7).
 *
 * @returns what the handler is to return
 */
export async function sendRanges(
  reply: FastifyReply,
  ranges: readonly ByteRange[],
  size: number,
  read: Read
): Promise<Buffer | FastifyReply> {
  reply.code(206)
  const [range, second] = ranges
  if (range && !second) {
    reply.header('Content-Range', contentRange(range, size))
    return sendChunks(reply, await read(range), lengthOf(range))
  }
  const { contentType, length, chunks } = byteranges(ranges, size, read)
  reply.header('Content-Type', contentType)
  return sendChunks(reply, chunks, length)
}

const contentRange = ({ start, end }: ByteRange, size: number): string => `bytes ${start}-${end}/${size}`
const lengthOf = ({ start, end }: ByteRange): number => end - start + 1

/** A body of several parts of one content: `multipart/byteranges` (RFC 9110 section 14.6). */
export interface Byteranges {
  contentType: string
  /** Bytes of the whole body. */
  length: number
  chunks: AsyncIterable<Uint8Array>
}

/**
 * @param ranges in the order in which they are sent
 * @param size of the whole content, in bytes
 */
export function byteranges(ranges: readonly ByteRange[], size: number, read: Read): Byteranges {
  // Whoever pushed the content could not know it, so it can't be in there.
  const boundary = randomBytes(18).toString('hex')
  const parts = ranges.map((range, index) => ({ range, head: headOf(range, size, boundary, index === 0) }))
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const length = parts.reduce((sum, { range, head }) => sum + head.length + lengthOf(range), tail.length)
  return { contentType: `multipart/byteranges; boundary=${boundary}`, length, chunks: send() }

  async function* send(): AsyncGenerator<Uint8Array, void, undefined> {
    for (const { range, head } of parts) {
      const body = await read(range)
      const chunks = (
        Buffer.isBuffer(body) ? [body].values() : body[Symbol.asyncIterator]()
      ) as AsyncIterator<Uint8Array>
      try {
        // The first bytes come before the head of their part: while nothing is sent, a fault has a status of its own.
        let next = await chunks.next()
        yield head
        for (; !next.done; next = await chunks.next()) yield next.value
      } finally {
        await chunks.return?.()
      }
    }
    yield tail
  }
}

function headOf(range: ByteRange, size: number, boundary: string, first: boolean): Buffer {
  const delimiter = `${first ? '' : '\r\n'}--${boundary}`
  return Buffer.from(
    `${delimiter}\r\nContent-Type: application/octet-stream\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`
  )
}
