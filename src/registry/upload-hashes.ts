import { createHash, type Hash, randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { UploadState } from '../storage/driver.ts'
import { REMEMBERED } from './cache.ts'
import { type Algorithm, type Digest, digestOf } from './digest.ts'
import type { Session } from './session.ts'

/** A hash that is as far as the upload is, if this process alone wrote it. */
export interface Progress {
  writer: string
  algorithm: Algorithm
  hash: Hash
  size: number
}

/** Hashes of uploads that go on from request to request. Losing one costs reading the content once more at the end. */
export function createHashes() {
  const known = new LRUCache<string, Progress>(REMEMBERED)

  /**
   * The hash to go on with, and the token to write under. A hash goes on only if the store says that the last writer was
   * this process, and that it left just what was hashed; otherwise the content is read again at the end.
   */
  function resume({ id, algorithm }: Session, from: UploadState | undefined): { writer: string; hash?: Progress } {
    const hash = known.get(id)
    if (from && hash && hash.writer === from.writer && hash.size === from.size) return { writer: hash.writer, hash }
    known.delete(id)
    const writer = randomUUID()
    if (from && from.size > 0) return { writer }
    const begun = { writer, algorithm, hash: createHash(algorithm), size: 0 }
    known.set(id, begun)
    return { writer, hash: begun }
  }

  /** Takes the hash out. */
  function take({ id }: Session): Progress | undefined {
    const hash = known.get(id)
    known.delete(id)
    return hash
  }

  return { resume, take, has: ({ id }: Session): boolean => known.has(id) }
}

export type Hashes = ReturnType<typeof createHashes>

/** The digest, if what was hashed is just what the store has and it was hashed by this algorithm. */
export function digestIfSame(
  progress: Progress | undefined,
  state: UploadState | undefined,
  algorithm: Algorithm
): Digest | undefined {
  if (!progress || progress.writer !== state?.writer || progress.size !== state.size) return undefined
  return progress.algorithm === algorithm ? digestOf(algorithm, progress.hash) : undefined
}
