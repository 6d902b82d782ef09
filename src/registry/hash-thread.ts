import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { Algorithm } from './digest.ts'

/*
 * The program of a thread that hashes (see `hash-threads.ts`). Requests are answered in their order.
 */

export interface HashRequest {
  /** The stream that is hashed. */
  id: number
  algorithm: Algorithm
  /** What comes next of it, in shared memory. */
  bytes?: Uint8Array
  /** It is over: the digest is wanted, or nothing more. */
  end?: 'digest' | 'drop'
}

export interface HashAnswer {
  /** Lower-case hex, where it was asked for. */
  digest?: string
}

const hashes = new Map<number, Hash>()

parentPort?.on('message', ({ id, algorithm, bytes, end }: HashRequest) => {
  const hash = hashes.get(id) ?? createHash(algorithm)
  if (bytes) hash.update(bytes)
  if (end) hashes.delete(id)
  else hashes.set(id, hash)
  parentPort?.postMessage((end === 'digest' ? { digest: hash.digest('hex') } : {}) satisfies HashAnswer)
})
