import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3'
import type { Buffers } from '../buffers.ts'
import type { Bucket } from './bucket.ts'
import type { Answer } from './connections.ts'
import { backOff, isPassing, RequestFailed } from './errors.ts'
import { LARGE, receive } from './reception.ts'

/** The bytes of an object from `start` to `end`, both inclusive. */
export interface Stretch {
  start: number
  end: number
}

/** An answer that nobody has begun to read gives its connection back after this long; reading then asks once more. */
const UNREAD_MS = 1000
const TRIES = 5

/**
 * Reads the body of an answer, and goes on where a connection broke: a download of hours outlives S3's resets. A stop
 * of a slow reader counts as well, because an idle connection is given up.
 *
 * @param stretch what the answer holds
 * @param buffers where a chunk need not be valid when the next one is asked for
 */
export function readBody(
  bucket: Bucket,
  key: string,
  answer: GetObjectCommandOutput,
  stretch: Stretch,
  buffers?: Buffers
): AsyncIterable<Uint8Array> {
  let unread: Answer | undefined = answer.Body as Answer
  unread.on('error', () => undefined) // told by reading, where anybody reads
  const release = setTimeout(() => {
    unread?.destroy()
    unread = undefined
  }, UNREAD_MS)
  release.unref()
  return {
    [Symbol.asyncIterator]: () => {
      clearTimeout(release)
      const first = unread
      unread = undefined
      return resuming(bucket, key, answer.ETag, stretch, first, buffers)
    }
  }
}

/** Reads a stretch of an object, and asks again where the first request fails as well. */
export function readStretch(bucket: Bucket, key: string, stretch: Stretch): AsyncIterable<Uint8Array> {
  return resuming(bucket, key, undefined, stretch)
}

async function* resuming(
  bucket: Bucket,
  key: string,
  etag: string | undefined,
  { start, end }: Stretch,
  first?: Answer,
  buffers?: Buffers
): AsyncGenerator<Uint8Array> {
  let body = first
  for (let tried = 0; start <= end; ) {
    try {
      body ??= await getFrom(bucket, key, etag, { start, end })
      const length = end - start + 1
      const chunks: AsyncIterable<Uint8Array> = buffers && length >= LARGE ? receive(body, length, buffers) : body
      for await (const chunk of chunks) {
        start += chunk.length
        if (chunk.length > 0) tried = 0
        yield chunk
      }
      if (start <= end) throw new RequestFailed('GetObject', { code: 'ECONNRESET', message: 'the body was cut short' })
    } catch (thrown) {
      const error = failureOf(thrown)
      if (++tried === TRIES || !isPassing(error)) throw error
      await backOff(tried)
    } finally {
      body?.destroy()
      body = undefined
    }
  }
}

/** What a socket says while a body is read never passed the client. */
function failureOf(thrown: unknown): RequestFailed {
  if (thrown instanceof RequestFailed) return thrown
  const { code = 'ECONNRESET' } = thrown as { code?: string }
  return new RequestFailed('GetObject', Object.assign(new Error(String(thrown), { cause: thrown }), { code }))
}

async function getFrom(
  bucket: Bucket,
  key: string,
  etag: string | undefined,
  { start, end }: Stretch
): Promise<Answer> {
  const answer = await bucket.client.send(
    new GetObjectCommand({ ...bucket.at(key), Range: `bytes=${start}-${end}`, ...(etag && { IfMatch: etag }) })
  )
  return answer.Body as Answer
}

/** A whole small body. Fails with `RequestFailed`. */
export async function collect(answer: GetObjectCommandOutput): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of answer.Body as AsyncIterable<Uint8Array>) chunks.push(chunk)
  } catch (thrown) {
    throw failureOf(thrown)
  }
  return chunks.length === 1 ? Buffer.from(chunks[0]!) : Buffer.concat(chunks)
}
