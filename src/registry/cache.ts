import { LRUCache } from 'lru-cache'

/** Small immutable objects by their key. Which keys exist is never taken from here. */
export interface ObjectCache<V> {
  get(key: string): V | undefined
  set(key: string, value: V, bytes: number): void
}

/**
 * A cache bounded by the bytes it holds. What is never rewritten never turns stale, so nothing has to be taken out.
 * With `maxBytes` 0 it keeps nothing.
 */
export function createObjectCache<V extends object>(maxBytes: number): ObjectCache<V> {
  if (maxBytes === 0) return { get: () => undefined, set: () => {} }
  const cache = new LRUCache<string, V>({ maxSize: maxBytes })
  return {
    get: key => cache.get(key),
    // The key and the bookkeeping weigh too: without them a million empty objects would be free.
    set: (key, value, bytes) => void cache.set(key, value, { size: bytes + key.length + 200 })
  }
}

/** Bounds what a process keeps in mind of keys. With `max` a cache would set aside room for all of them when it is made. */
export const REMEMBERED = { maxSize: 10_000, sizeCalculation: () => 1 }
