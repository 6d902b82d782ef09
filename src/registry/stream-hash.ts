import { createHash, type Hash } from 'node:crypto'
import { type Algorithm, type Digest, digestOf } from './digest.ts'
import { hashInThread, type ThreadHash } from './hash-threads.ts'

/** A hash of bytes that come in one after the other. */
export interface StreamHash {
  readonly algorithm: Algorithm
  /** Resolves when the bytes may be written over; undefined: at once. */
  update(bytes: Uint8Array): Promise<void> | undefined
  /** Ends it. Undefined: the digest got lost. */
  digest(): Promise<Digest | undefined>
  /** Ends it without a digest. */
  drop(): void
}

/** Less is hashed sooner than another thread is woken, twice. */
const LARGE = 128 * 1024

/**
 * Hashes in this thread, or in another: where the first piece is large, and in memory that threads share so that nothing
 * is copied. While a large blob comes in, this thread serves others and reads on.
 */
export function createStreamHash(algorithm: Algorithm): StreamHash {
  let here: Hash | undefined
  let thread: ThreadHash | undefined
  return {
    algorithm,
    update: bytes => {
      const far = bytes.length >= LARGE && bytes.buffer instanceof SharedArrayBuffer
      if (!here && !thread && far) thread = hashInThread(algorithm)
      if (thread) return thread.update(bytes)
      here ??= createHash(algorithm)
      here.update(bytes)
      return undefined
    },
    digest: async () => {
      if (!thread) return digestOf(algorithm, here ?? createHash(algorithm))
      const hex = await thread.digest()
      return hex === undefined ? undefined : `${algorithm}:${hex}`
    },
    drop: () => thread?.drop()
  }
}
