import { isFull, type StorageDriver, StorageError } from '../storage/driver.ts'
import type { Digest } from './digest.ts'
import { orphanKey, parseFolderDigest, parseLink } from './keys.ts'
import { parallel } from './parallel.ts'

export interface OrphanOptions {
  storage: StorageDriver
  graceMs: number
  /** A clock in ms, for how long something took. Default: one that nobody sets. */
  now?: () => number
}

/** What an entry says from when its content is gone until it goes itself. */
export const GONE = 'gone'
/** Writes as many entries at a time. */
const WIDTH = 8
/** How often entries are written that have become too old meanwhile. */
const TRIES = 10

/** Contents that lost a link: each has an entry, so that a collector finds it and nobody shares it meanwhile. */
export function createOrphans({ storage, graceMs, now = () => performance.now() }: OrphanOptions) {
  /**
   * Deletes just these links, of any blobs. Word of the loss comes before the loss: a crash in between leaves an entry
   * too many, never content forgotten. The entry tells the digest, by which the collector finds the hint.
   */
  async function unlink(links: readonly string[]): Promise<void> {
    const lost = new Map(links.map(key => [parseLink(key).content, parseFolderDigest(key)]))
    for (let tries = 1; ; tries++) {
      const begun = now()
      const told = new Set<string>()
      try {
        await parallel([...lost], WIDTH, ([content, digest]) =>
          tell(content, digest).then(() => void told.add(content))
        )
      } catch (error) {
        if (!isFull(error) || links.length === 1) throw error
        return unlinkOneByOne(links, told, () => now() - begun <= graceMs / 4)
      }
      // An entry must still be young when the link goes (docs/storage.md, "Collecting"): if we were held up, once more.
      if (now() - begun <= graceMs / 4) break
      if (tries === TRIES) throw new StorageError('unavailable', `the store takes too long to write ${lost.size} keys`)
    }
    await storage.delete(links)
  }

  const tell = (content: string, digest: Digest): Promise<boolean> =>
    storage.put(orphanKey(content), Buffer.from(digest), { reserve: true })

  /**
   * Where there is no room for all entries at once. A link that goes gives back about what its entry takes, so those go
   * first whose entry there was room for, and then one after the other.
   *
   * @param areYoung whether the entries of `told` still count
   */
  async function unlinkOneByOne(
    links: readonly string[],
    told: ReadonlySet<string>,
    areYoung: () => boolean
  ): Promise<void> {
    const first = new Set(areYoung() ? links.filter(key => told.has(parseLink(key).content)) : [])
    if (first.size > 0) await storage.delete([...first])
    for (const key of links) if (!first.has(key)) await unlink([key])
  }

  /** Whether content has lost a link, so that a collector may take it. */
  const has = async (content: string): Promise<boolean> => (await storage.stat(orphanKey(content))) !== undefined

  /**
   * Whether content may get its first link from who has put it there: it has no entry, or such a young one that the
   * listing which decides over it comes later than a request can last. One that says `GONE` is young, too.
   */
  async function mayLink(content: string): Promise<boolean> {
    const entry = await storage.get(orphanKey(content))
    return !entry || (entry.ageMs < graceMs / 2 && entry.bytes.toString() !== GONE)
  }

  return { unlink, has, mayLink }
}

export type Orphans = ReturnType<typeof createOrphans>
