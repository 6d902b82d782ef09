import type { StorageDriver } from '../storage/driver.ts'
import type { Digest } from './digest.ts'
import { ENDED, endedKey, nonce } from './keys.ts'

/** What became of a session. */
export interface Made {
  digest: Digest
  /** The content that the blob is: the session's own, or what had the same bytes already. */
  content: string
}

/** How a session ended; kept until no name of it is valid any more. */
export type Ending = Made | typeof NO_BLOB
/** Cancelled or failed. */
export const NO_BLOB = { digest: '', content: '' } as const

/** How upload sessions ended. Of all who try to end one, the one that leaves the ending decides. */
export function createEndings(storage: StorageDriver) {
  /** False: somebody did before. */
  async function leave(session: string, ending: Ending): Promise<boolean> {
    const key = endedKey(session)
    const bytes = Buffer.from(JSON.stringify({ ...ending, by: nonce() }))
    // In a power cut the requests that could contradict it are gone as well, and a commit never replaces content.
    // One that was cancelled is about to free its bytes.
    const reserve = ending.content === ''
    if (await storage.put(key, bytes, { ifAbsent: true, durable: false, reserve })) return true
    // A bucket says so of one's own as well, where the answer to a first try got lost.
    return (await storage.get(key))?.bytes.equals(bytes) ?? false
  }

  /** Undefined: it has not ended. */
  async function find(session: string): Promise<Ending | undefined> {
    const stored = await storage.get(endedKey(session))
    if (!stored) return undefined
    try {
      return JSON.parse(stored.bytes.toString()) as Ending
    } catch {
      return NO_BLOB // torn by a power cut: it ended, and nobody knows how
    }
  }

  /** Takes away those that are older, in ms. */
  async function forget(olderThanMs: number): Promise<void> {
    const since = performance.now()
    for (let after: string | undefined; ; ) {
      const page = await storage.list(ENDED, { limit: 1000, ages: true, since, ...(after && { after }) })
      await storage.delete(
        page.filter(entry => entry.ageMs! > olderThanMs).map(entry => entry.key),
        { durable: false }
      )
      if (page.length < 1000) return
      after = page.at(-1)!.key
    }
  }

  return { leave, find, forget }
}

export type Endings = ReturnType<typeof createEndings>
