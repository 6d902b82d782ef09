import { LRUCache } from 'lru-cache'
import type { ListEntry, ListOptions, StorageDriver } from '../storage/driver.ts'

/** Looks at the keys of a set, for someone who is only going to read. */
export type Look = (prefix: string, options: ListOptions) => Promise<ListEntry[]>

/**
 * Trusts for `ttlMs` that keys which were seen are still there, so that a busy image is not asked for in the bucket with
 * every pull (S3_METADATA_TTL). That something is absent is never trusted, and nobody who relies on a key, changes or
 * deletes anything may look through here: ages grow stale, too. Undefined with 0: the store is to be asked each time.
 */
export function createLook(storage: StorageDriver, ttlMs: number): Look | undefined {
  if (ttlMs === 0) return undefined
  const seen = new LRUCache<string, ListEntry[]>({ max: 100_000, ttl: ttlMs })
  return async (prefix, options) => {
    const trusted = seen.get(prefix)
    if (trusted) return trusted
    const entries = await storage.list(prefix, options)
    if (entries.length > 0) seen.set(prefix, entries)
    return entries
  }
}
