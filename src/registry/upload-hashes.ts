import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { UploadState } from '../storage/driver.ts'
import { REMEMBERED } from './cache.ts'
import type { Algorithm, Digest } from './digest.ts'
import type { Session } from './session.ts'
import { createStreamHash, type StreamHash } from './stream-hash.ts'

/** A hash that is as far as the upload is, if this process alone wrote it. */
export interface Progress {
  writer: string
  hash: StreamHash
  size: number
}

/** Hashes of uploads that go on from request to request. Losing one costs reading the content once more at the end. */
export function createHashes() {
  const known = new LRUCache<string, Progress>({
    ...REMEMBERED,
    dispose: ({ hash }, _id, reason) => reason === 'evict' && hash.drop()
  })

  /**
   * The hash to go on with, and the token to write under. A hash goes on only if the store says that the last writer was
   * this process, and that it left just what was hashed; otherwise the content is read again at the end.
   */
  function resume({ id, algorithm }: Session, from: UploadState | undefined): { writer: string; hash?: Progress } {
    const hash = known.get(id)
    if (from && hash && hash.writer === from.writer && hash.size === from.size) return { writer: hash.writer, hash }
    forget(id)
    const writer = randomUUID()
    if (from && from.size > 0) return { writer }
    const begun = { writer, hash: createStreamHash(algorithm), size: 0 }
    known.set(id, begun)
    return { writer, hash: begun }
  }

  /** The session needs no hash any more. */
  function forget(id: string): void {
    known.get(id)?.hash.drop()
    known.delete(id)
  }

  /** Takes the hash out, for someone who ends it. */
  function take({ id }: Session): Progress | undefined {
    const hash = known.get(id)
    known.delete(id)
    return hash
  }

  return { resume, take, forget, has: ({ id }: Session): boolean => known.has(id) }
}

export type Hashes = ReturnType<typeof createHashes>

/** Ends a hash: the digest, if what was hashed is just what the store has and it was hashed by this algorithm. */
export async function digestIfSame(
  progress: Progress | undefined,
  state: UploadState | undefined,
  algorithm: Algorithm
): Promise<Digest | undefined> {
  const same = progress && progress.writer === state?.writer && progress.size === state.size
  if (same && progress.hash.algorithm === algorithm) return progress.hash.digest()
  progress?.hash.drop()
  return undefined
}
