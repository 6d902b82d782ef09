import type { FastifyRateLimitStore, FastifyRateLimitStoreCtor } from '@fastify/rate-limit'
import { LRUCache } from 'lru-cache'

/** Clients that are counted, at most. */
const COUNTED = 5000

/**
 * Counts for @fastify/rate-limit, by a monotonic clock: its own store goes by the time of day, and where that is set back
 * its windows last, and its clients wait, as much longer.
 */
export function rateStoreOf(steady: () => number): FastifyRateLimitStoreCtor {
  return class RateStore implements FastifyRateLimitStore {
    readonly #clients = new LRUCache<string, { current: number; begun: number }>({ max: COUNTED })

    incr(
      key: string,
      callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
      timeWindow: number
    ): void {
      const now = steady()
      const known = this.#clients.get(key)
      const begun = known && now < known.begun + timeWindow ? known.begun : now
      const current = known && begun === known.begun ? known.current + 1 : 1
      this.#clients.set(key, { current, begun })
      callback(null, { current, ttl: begun + timeWindow - now })
    }

    child(): FastifyRateLimitStore {
      return new RateStore()
    }
  }
}
