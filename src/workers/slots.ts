/** Tells a worker which of them it is, from 0 on. A worker that takes another's place is the same one. */
export const WORKER_SLOT = 'MARINA_WORKER'
/** Set for the first worker of all: it tells the log where the server listens, and what is odd about the storage. */
export const WORKER_TELLS = 'MARINA_WORKER_TELLS'

/** A worker that ends sooner than this has something wrong with it. */
const SHORT_LIFE_MS = 10_000
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000

/**
 * How long to wait before a worker is replaced: not at all when it had worked for a while, else longer each time, so that
 * workers which end at once do not keep the machine busy.
 *
 * @param livedMs how long it lived
 * @param before the pause before it was started
 */
export function pauseAfter(livedMs: number, before: number): number {
  if (livedMs >= SHORT_LIFE_MS) return 0
  return Math.min(Math.max(FIRST_PAUSE_MS, 2 * before), LONGEST_PAUSE_MS)
}
