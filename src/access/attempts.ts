import { LRUCache } from 'lru-cache'
import { RegistryError } from '../registry/errors.ts'

/** Wrong ones that cost nothing but their check, of an address or under a user's name. */
export const FREE_FAILURES = 10
/** The most that is waited for the next one, in ms. From 1 s on, each failure doubles it. */
export const LONGEST_DELAY_MS = 60_000
/** How long failures count, in ms. */
const COUNTED_MS = 15 * 60_000
/** A name may be as long as a header. */
const LONGEST_KEY = 200

interface Failures {
  count: number
  /** Attempts that are being checked. */
  pending: number
  /** ms: nothing is checked before. */
  until: number
}

/** Who tries to log in. */
export interface Attempter {
  address: string
  user: string
}

/**
 * Slows down who guesses passwords: after some failures, of one address or under one user's name, each next attempt has
 * to wait, twice as long each time. It knows the last 10,000 of each, and nothing of other processes.
 *
 * @param now ms; only differences count
 */
export function createAttempts(now: () => number = Date.now) {
  const counted = () =>
    new LRUCache<string, Failures>({ max: 10_000, ttl: COUNTED_MS, ttlResolution: 0, perf: { now } })
  const [addresses, users] = [counted(), counted()]

  function failuresIn(all: LRUCache<string, Failures>, key: string): Failures {
    const kept = key.slice(0, LONGEST_KEY)
    const known = all.get(kept)
    if (known) return known
    const made = { count: 0, pending: 0, until: 0 }
    all.set(kept, made)
    return made
  }

  /** ms until the next attempt. */
  function delayOf({ count, pending, until }: Failures): number {
    // One at a time, where one more failure would have the next wait.
    return Math.max(until - now(), pending > 0 && count + pending >= FREE_FAILURES ? 1000 : 0)
  }

  function fail(all: LRUCache<string, Failures>, key: string, failures: Failures): void {
    failures.count++
    const beyond = failures.count - FREE_FAILURES
    if (beyond >= 0) failures.until = now() + Math.min(1000 * 2 ** beyond, LONGEST_DELAY_MS)
    all.set(key.slice(0, LONGEST_KEY), failures) // counts from now on
  }

  /**
   * Does the work of an attempt, which fails if it comes to nothing. Throws `too-many-requests`, without doing it, where
   * it has to wait.
   */
  async function attempt<T>({ address, user }: Attempter, work: () => Promise<T | undefined>): Promise<T | undefined> {
    const [ofAddress, ofUser] = [failuresIn(addresses, address), failuresIn(users, user)]
    const delay = Math.max(delayOf(ofAddress), delayOf(ofUser))
    if (delay > 0) throw tooManyFailures(Math.ceil(delay / 1000))
    ofAddress.pending++
    ofUser.pending++
    try {
      const result = await work()
      if (result === undefined) {
        fail(addresses, address, ofAddress)
        fail(users, user, ofUser)
      } else ofUser.count = 0 // an address keeps its own: who guesses may have a password as well
      return result
    } finally {
      ofAddress.pending--
      ofUser.pending--
    }
  }

  return attempt
}

const tooManyFailures = (retryAfter: number): RegistryError =>
  new RegistryError('too-many-requests', { retryAfter }, { message: 'too many failed logins' })
