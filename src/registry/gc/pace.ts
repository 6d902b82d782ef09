import { setImmediate, setTimeout as sleep } from 'node:timers/promises'

/** Work goes on so long before others have a turn, in ms. */
const SLICE_MS = 20

/**
 * Returns what a collection calls between two pieces of work. In the process of a server it works for a `share` of the
 * time only, from 0 to 1, so that requests find the processor and the disk free for the rest of it. Throws when `signal`
 * calls it off.
 */
export function createPace(share: number, signal: AbortSignal | undefined): () => Promise<void> {
  let begun = performance.now()
  return async () => {
    signal?.throwIfAborted()
    const worked = performance.now() - begun
    if (worked < SLICE_MS) return
    if (share < 1) await sleep(worked * (1 / share - 1), undefined, { ...(signal && { signal }) })
    else await setImmediate()
    begun = performance.now()
  }
}
