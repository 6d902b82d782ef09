import type { StorageDriver } from '../storage/driver.ts'
import type { Digest } from './digest.ts'
import { nonce, TAG_CLAIMS, tagClaimKey } from './keys.ts'

/** A claim that is older, in ms, is of a push that died: those that follow do not wait for it. */
const LAPSES_MS = 60_000

/**
 * Claims on the first value of an immutable tag. Of several pushes at the same moment the one that makes the claim goes
 * on. A claim is only held for the time of a few requests, and nothing depends on it but that one push succeeds: without
 * it, as after a power cut, each push withdraws when it sees another's value (src/registry/tags.ts).
 */
export function createTagClaims(storage: StorageDriver) {
  /**
   * Runs `work` for the push that may go on, and returns what it returns. Returns false for a push that finds the claim
   * of another digest.
   */
  async function hold(name: string, tag: string, digest: Digest, work: () => Promise<boolean>): Promise<boolean> {
    const key = tagClaimKey(name, tag)
    const own = Buffer.from(`${digest} ${nonce()}`)
    const claim = () => storage.put(key, own, { ifAbsent: true, durable: false })
    let claimed = await claim()
    if (!claimed) {
      const held = await storage.get(key)
      if (held && held.ageMs >= LAPSES_MS) {
        await release(key)
        claimed = await claim()
      } else if (held?.bytes.equals(own))
        claimed = true // a bucket's answer to the first try got lost
      else if (held && !held.bytes.toString().startsWith(`${digest} `)) return false
      // Another push of the same manifest, or one that has just ended: what it left says more.
    }
    try {
      return await work()
    } finally {
      if (claimed) await release(key)
    }
  }

  const release = (key: string): Promise<void> => storage.delete([key], { durable: false })

  /** Deletes the claims of pushes that died, older than this in ms. */
  async function forget(olderThanMs: number): Promise<void> {
    const since = performance.now()
    for (let after: string | undefined; ; ) {
      const page = await storage.list(TAG_CLAIMS, { limit: 1000, ages: true, since, ...(after && { after }) })
      await storage.delete(
        page.filter(entry => entry.ageMs! > olderThanMs).map(entry => entry.key),
        { durable: false }
      )
      if (page.length < 1000) return
      after = page.at(-1)!.key
    }
  }

  return { hold, forget }
}
