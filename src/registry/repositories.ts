import { LRUCache } from 'lru-cache'
import type { StorageDriver } from '../storage/driver.ts'
import { REMEMBERED } from './cache.ts'
import { blobsOf, CATALOG, catalogKey, manifestsOf, parseCatalogKey } from './keys.ts'
import { parallel } from './parallel.ts'

export interface Page<T> {
  items: T[]
  /** There are more after the last one. */
  more: boolean
}

export interface ListOptions {
  n: number
  last?: string | undefined
  /** Default: all are. */
  visible?: ((name: string) => boolean | Promise<boolean>) | undefined
}

/** Names looked through at once where few of them may be visible; a bucket's page has as many. */
const LONG_PAGE = 1000

/** Which repositories there are: those that hold a manifest or a blob. */
export function createRepositories({ storage }: { storage: StorageDriver }) {
  // Whose catalog entry this process has seen to. Losing one from here costs a write that changes nothing.
  const ensured = new LRUCache<string, true>(REMEMBERED)

  const holdsAny = async (prefix: string): Promise<boolean> => (await storage.list(prefix, { limit: 1 })).length > 0

  /** Whether the repository holds a manifest or a blob. */
  async function exists(name: string): Promise<boolean> {
    return (await holdsAny(manifestsOf(name))) || (await holdsAny(blobsOf(name)))
  }

  /** Enters the repository into the catalog. `always`: even where this process believes that it did so before. */
  async function ensure(name: string, { always = false } = {}): Promise<void> {
    if (!always && ensured.has(name)) return
    const entered = await storage.put(catalogKey(name), Buffer.alloc(0), { ifAbsent: true })
    ensured.set(name, true)
    // What it is entered for may have been deleted just before, by one who found no entry to take out.
    if (entered) await leaveIfEmpty(name)
  }

  /**
   * Takes the repository out of the catalog when nothing is left in it. It looks again afterwards, since a push may have
   * seen the entry just before it went.
   */
  async function leaveIfEmpty(name: string): Promise<void> {
    if (await exists(name)) return
    ensured.delete(name)
    await storage.delete([catalogKey(name)])
    if (await exists(name)) await ensure(name, { always: true })
  }

  /** A page of at most `n` names after `last`, in byte order; with `visible`, of those that it takes. */
  async function list({ n, last, visible }: ListOptions): Promise<Page<string>> {
    const items: string[] = []
    let after = last === undefined ? undefined : catalogKey(last)
    for (let limit = n + 1; ; limit = LONG_PAGE) {
      const entries = await storage.list(CATALOG, { limit, ...(after && { after }) })
      const names = entries.map(entry => parseCatalogKey(entry.key))
      const seen = visible && (await parallel(names, 16, async name => visible(name)))
      items.push(...(seen ? names.filter((_, i) => seen[i]) : names))
      if (items.length > n || entries.length < limit) return { items: items.slice(0, n), more: items.length > n }
      after = entries.at(-1)!.key
    }
  }

  return { exists, ensure, leaveIfEmpty, list }
}

export type Repositories = ReturnType<typeof createRepositories>
