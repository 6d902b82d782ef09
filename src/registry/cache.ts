import { LRUCache } from 'lru-cache'

/** Small immutable objects by their key. Which keys exist is never taken from here. */
export interface ObjectCache<V> {
  get(key: string): V | undefined
  set(key: string, value: V, bytes: number): void
  counts(): CacheCounts
}

/** How often what was looked for was there, and how often not. */
export interface CacheCounts {
  hits: number
  misses: number
}

/**
 * A cache bounded by the bytes it holds. What is never rewritten never turns stale, so nothing has to be taken out.
 * With `maxBytes` 0 it keeps nothing.
 */
export function createObjectCache<V extends object>(maxBytes: number): ObjectCache<V> {
  if (maxBytes === 0) return { get: () => undefined, set: () => {}, counts: () => ({ hits: 0, misses: 0 }) }
  const cache = new LRUCache<string, V>({ maxSize: maxBytes })
  const counts = { hits: 0, misses: 0 }
  return {
    get: key => {
      const value = cache.get(key)
      if (value === undefined) counts.misses++
      else counts.hits++
      return value
    },
    counts: () => counts,
    // The key and the bookkeeping weigh too: without them a million empty objects would be free.
    set: (key, value, bytes) => void cache.set(key, value, { size: bytes + key.length + 200 })
  }
}

/** Bounds what a process keeps in mind of keys. With `max` a cache would set aside room for all of them when it is made. */
export const REMEMBERED = { maxSize: 10_000, sizeCalculation: () => 1 }
