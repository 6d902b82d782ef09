import { LRUCache } from 'lru-cache'
import type { StorageDriver } from '../storage/driver.ts'
import { bytesText } from '../units.ts'
import type { Admission, Room } from './admission.ts'
import { REMEMBERED } from './cache.ts'
import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { blobsOf, manifestsOf, parseFolderDigest, parseLink, parseRecordSize } from './keys.ts'
import type { RegistryLog } from './log.ts'
import { matcherOf } from './patterns.ts'
import { createRooms, type Held } from './rooms.ts'

/** How many bytes each repository may hold whose name the pattern takes. Of several rules the first one counts. */
export interface QuotaRule {
  pattern: string
  bytes: number
}

export interface QuotaOptions {
  storage: StorageDriver
  rules: readonly QuotaRule[]
  log: Pick<RegistryLog, 'warn'>
  /** How long an upload session may be idle, in ms: then its room is free. */
  expiryMs: number
  /** A clock in ms that nobody sets. */
  steady?: (() => number) | undefined
}

/** How often a repository is counted at most, in ms. */
export const COUNTED_EVERY_MS = 60_000

/** How long requests wait for the first count of a repository, in ms: a large one must not hold up its pushes. */
const FIRST_WAIT_MS = 1000

/** Keys listed at once. */
const PAGE = 1000

interface Count {
  /** Bytes of what there was, and of what has come since; undefined: it is being counted. */
  bytes: number | undefined
  /** When the count began. */
  begun: number
  /** It has been made, or has taken as long as requests wait for one; undefined: nobody has to wait. */
  awaited: Promise<void> | undefined
  /** What came while it is being counted, and was not seen yet; undefined: it has been counted. */
  unseen: Map<string, number> | undefined
}

/**
 * What repositories hold and may hold. A repository is counted beside the requests that ask, so that what it holds is
 * known as of the last minute. Only the first count is waited for, and no longer than a second after it began. What is
 * on its way counts from the moment in which it is let in (src/registry/rooms.ts).
 */
export function createQuota(options: QuotaOptions): Admission {
  const { storage, rules, log, expiryMs, steady = () => performance.now() } = options
  const compiled = rules.map(({ pattern, bytes }) => ({ takes: matcherOf(pattern), bytes }))
  const counts = new LRUCache<string, Count>(REMEMBERED)
  const rooms = createRooms({ expiryMs, steady })
  // One repository at a time: a long one takes its time, and others can wait.
  let counting: Promise<void> = Promise.resolve()

  /** How much a repository may hold; undefined: any amount. */
  const limitOf = (repository: string): number | undefined => compiled.find(({ takes }) => takes(repository))?.bytes

  async function admit(repository: string): Promise<void> {
    const allowed = limitOf(repository)
    if (allowed === undefined) return
    const count = countOf(repository)
    if (count.awaited) await count.awaited
    check(repository, count, allowed, 1)
  }

  /** Throws where so many bytes more are too many, with what is on its way. */
  function check(repository: string, count: Count, allowed: number, more: number): void {
    const used = (count.bytes ?? 0) + rooms.reserved(repository)
    if (used + more <= allowed) return
    const message = `the repository holds about ${bytesText(used)}, and it may hold ${bytesText(allowed)}`
    throw new RegistryError('quota-exceeded', { used, allowed }, { message })
  }

  function room(repository: string, session?: string): Room | undefined {
    const allowed = limitOf(repository)
    if (allowed === undefined) return undefined
    const held = rooms.of(repository, session)
    return {
      ...roomOf(held, allowed),
      keep: bytes => rooms.hold(held, Math.min(bytes, held.bytes)),
      release: () => rooms.end(held)
    }
  }

  function shared(repository: string, digest: Digest): Room | undefined {
    const allowed = limitOf(repository)
    if (allowed === undefined) return undefined
    const { held, leave } = rooms.share(repository, digest)
    // What one of them does not need, the others may.
    return { ...roomOf(held, allowed), keep: () => {}, release: leave }
  }

  function roomOf(held: Held, allowed: number): Pick<Room, 'need' | 'added'> {
    const { repository } = held
    function reserve(bytes: number, count: Count): void {
      if (bytes <= held.bytes) return
      check(repository, count, allowed, bytes - held.bytes)
      rooms.hold(held, bytes)
    }
    return {
      need(bytes) {
        if (bytes <= held.bytes) return undefined
        const count = countOf(repository)
        // Nobody else may come between the check and the reservation, so there is no wait between them.
        if (count.awaited) return count.awaited.then(() => reserve(bytes, count))
        reserve(bytes, count)
        return undefined
      },
      added(kind, digest) {
        const count = counts.get(repository)
        if (count?.bytes !== undefined) count.bytes += held.bytes
        // Of requests that share their room, the first to end has counted it.
        if (held.bytes > 0) count?.unseen?.set(`${kind} ${digest}`, held.bytes)
        rooms.end(held)
      }
    }
  }

  /** What was counted last; a count begins where that is long ago. */
  function countOf(repository: string): Count {
    const count = counts.get(repository)
    if (count && steady() - count.begun < COUNTED_EVERY_MS) return count
    const next: Count = { bytes: count?.bytes, begun: steady(), awaited: undefined, unseen: new Map() }
    counts.set(repository, next)
    counting = counting.then(async () => {
      try {
        next.bytes = await bytesIn(repository, next.unseen!)
      } catch (error) {
        log.warn({ err: error, repository }, 'could not count what a repository holds for its quota')
      }
      next.unseen = undefined
    })
    if (next.bytes === undefined) {
      next.awaited = within(FIRST_WAIT_MS, counting).then(() => {
        next.awaited = undefined
      })
    }
    return next
  }

  /**
   * The bytes of its blobs and manifests, each once: by their keys alone, no content is looked at.
   *
   * @param unseen what comes meanwhile; what is listed goes from there
   */
  async function bytesIn(repository: string, unseen: Map<string, number>): Promise<number> {
    let bytes = 0
    const since = performance.now()
    for (const [kind, prefix, sizeOf] of [
      ['blob', blobsOf(repository), (key: string) => parseLink(key).size],
      ['manifest', manifestsOf(repository), parseRecordSize]
    ] as const) {
      let last = ''
      for (let after: string | undefined; ; ) {
        const page = await storage.list(prefix, { limit: PAGE, since, ...(after && { after }) })
        for (const { key } of page) {
          const folder = key.slice(0, key.lastIndexOf('/'))
          if (folder === last) continue
          last = folder
          bytes += sizeOf(key)
          if (unseen.size > 0) unseen.delete(`${kind} ${parseFolderDigest(key)}`)
        }
        if (page.length < PAGE) break
        after = page.at(-1)!.key
      }
    }
    for (const size of unseen.values()) bytes += size
    return bytes
  }

  return { admit, room, shared }
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
