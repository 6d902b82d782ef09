import { LRUCache } from 'lru-cache'
import type { StorageDriver } from '../storage/driver.ts'
import { bytesText } from '../units.ts'
import { REMEMBERED } from './cache.ts'
import { RegistryError } from './errors.ts'
import { blobsOf, parseLink } from './keys.ts'
import type { RegistryLog } from './log.ts'
import { matcherOf } from './patterns.ts'

/** How many bytes each repository may hold whose name the pattern takes. Of several rules the first one counts. */
export interface QuotaRule {
  pattern: string
  bytes: number
}

export interface QuotaOptions {
  storage: StorageDriver
  rules: readonly QuotaRule[]
  log: Pick<RegistryLog, 'warn'>
  /** ms since 1970. */
  now?: (() => number) | undefined
}

/** How often a repository is counted at most, in ms. */
export const COUNTED_EVERY_MS = 60_000

/** How long requests wait for the first count of a repository, in ms: a large one must not hold up its pushes. */
const FIRST_WAIT_MS = 1000

/** Links listed at once. */
const PAGE = 1000

interface Count {
  /** Bytes of the blobs that there were, and of those that came since; undefined: they are being counted. */
  bytes: number | undefined
  /** When the count began, in ms since 1970. */
  begun: number
  /** It has been made, or has taken as long as requests wait for one. */
  awaited: Promise<void>
}

/**
 * What repositories hold and may hold. A repository is counted beside the requests that ask, so that what it holds is
 * known as of the last minute. Only the first count is waited for, and no longer than a second after it began.
 */
export function createQuota({ storage, rules, log, now = Date.now }: QuotaOptions) {
  const compiled = rules.map(({ pattern, bytes }) => ({ takes: matcherOf(pattern), bytes }))
  const counts = new LRUCache<string, Count>(REMEMBERED)
  // One repository at a time: a long one takes its time, and others can wait.
  let counting: Promise<void> = Promise.resolve()

  /** How much a repository may hold; undefined: any amount. */
  const limitOf = (repository: string): number | undefined => compiled.find(({ takes }) => takes(repository))?.bytes

  /**
   * Rejects with `quota-exceeded` where the repository holds as much as it may, or would hold more with these bytes.
   *
   * @param bytes 0: nobody knows yet
   */
  async function admit(repository: string, bytes: number): Promise<void> {
    const allowed = limitOf(repository)
    if (allowed === undefined) return
    const count = countOf(repository)
    if (count.bytes === undefined) await count.awaited
    const used = count.bytes
    if (used === undefined || used + Math.max(bytes, 1) <= allowed) return
    const message = `the repository holds about ${bytesText(used)}, and it may hold ${bytesText(allowed)}`
    throw new RegistryError('quota-exceeded', { used, allowed }, { message })
  }

  /** Bytes that have come to a repository. Some may have been there before: the next count tells. */
  function add(repository: string, bytes: number): void {
    const count = counts.get(repository)
    if (count?.bytes !== undefined) count.bytes += bytes
  }

  /** What was counted last; a count begins where that is long ago. */
  function countOf(repository: string): Count {
    const count = counts.get(repository)
    if (count && now() - count.begun < COUNTED_EVERY_MS) return count
    const next: Count = { bytes: count?.bytes, begun: now(), awaited: Promise.resolve() }
    counts.set(repository, next)
    counting = counting.then(async () => {
      try {
        next.bytes = await bytesIn(repository)
      } catch (error) {
        log.warn({ err: error, repository }, 'could not count what a repository holds for its quota')
      }
    })
    if (next.bytes === undefined) next.awaited = within(FIRST_WAIT_MS, counting)
    return next
  }

  /** The bytes of its blobs, each once: of the links alone, no content is looked at. */
  async function bytesIn(repository: string): Promise<number> {
    let [bytes, last] = [0, '']
    const since = performance.now()
    for (let after: string | undefined; ; ) {
      const page = await storage.list(blobsOf(repository), { limit: PAGE, since, ...(after && { after }) })
      for (const { key } of page) {
        const blob = key.slice(0, key.lastIndexOf('/'))
        if (blob !== last) bytes += parseLink(key).size
        last = blob
      }
      if (page.length < PAGE) return bytes
      after = page.at(-1)!.key
    }
  }

  return { limitOf, admit, add }
}

/** Settles with the work, or after so many ms. */
function within(ms: number, work: Promise<void>): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    void work.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

export type Quota = ReturnType<typeof createQuota>
