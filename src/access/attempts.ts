import { LRUCache } from 'lru-cache'
import { RegistryError } from '../registry/errors.ts'

/** Failures of one name from one address that cost nothing but their check. */
export const FREE_FAILURES = 10
/** Beyond them, the time from one check of that name from there to the next, in ms. */
export const PAUSE_MS = 2000
/** Failures of one address, under whatever names, that cost nothing but their check. */
export const FREE_ADDRESS_FAILURES = 100
/** Beyond them, the time from one check for that address to the next, in ms. */
export const ADDRESS_PAUSE_MS = 200
/** How long a failure counts, in ms. */
const COUNTED_MS = 15 * 60_000

/** Checks at a time. They run in the thread pool that the store's files need as well, which has 4 threads. */
export const CHECKS_AT_ONCE = 2
/** Checks of one name from one address that may wait: a name has one password, so nearly all of them are guesses. */
export const WAITING_OF_NAME = 4
/** Checks that may wait. */
export const MOST_WAITING = 1000
/** How long one may wait, in ms: clients give up after 15 s. */
export const LONGEST_WAIT_MS = 10_000

/** A name may be as long as a header. */
const LONGEST_KEY = 200

/** A clock that nobody sets, and its timers. */
export interface Timing {
  /** ms; only differences count. */
  now(): number
  /** Calls back after so many ms. Returns how to cancel that. */
  after(ms: number, run: () => void): () => void
}

/** Who tries to log in. */
export interface Attempter {
  address: string
  user: string
}

/** What is known of an address, or of a name from an address. */
interface Source {
  failures: number
  /** When the next check may begin. */
  until: number
  /** The number of the last check that began: who was served longest ago is next. */
  served: number
  /** Checks under way. */
  running: number
}

interface Waiting {
  address: Source
  name: Source
  /** The same password was refused before, unchecked. A guesser's next is another one. */
  again: boolean
  begin(): void
  /** Ends the wait with a refusal. */
  refuse(): void
}

const realTiming = (now: () => number): Timing => ({
  now,
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  }
})

/**
 * Bounds what guessing passwords can achieve and cost, without keeping anybody out (docs/access.md, "Guessing"). Failures
 * count for a name from an address, and for the address; checks after too many of them are spaced out. Checks wait in the
 * server for their turn, which goes to the address that was served longest ago; there a password that comes again after it
 * was refused unchecked goes first, and then the name that was served longest ago. One name from one address is checked once
 * at a time, so that guesses at the same moment gain nothing. Only failures count.
 *
 * @param timing a monotonic clock; tests turn it
 */
export function createAttempts(timing: Timing | (() => number)) {
  const { now, after } = typeof timing === 'function' ? realTiming(timing) : timing
  const sources = () => new LRUCache<string, Source>({ max: 10_000, ttl: COUNTED_MS, ttlResolution: 0, perf: { now } })
  const [addresses, names] = [sources(), sources()]
  const refused = new LRUCache<string, true>({ max: 10_000 })
  const waiting: Waiting[] = []
  let [running, served] = [0, 0]
  let cancelWake = (): void => {}

  /**
   * Does the work of an attempt, which fails if it comes to nothing, once it is its turn. Throws `too-many-requests`
   * without doing it where too many wait already, or it has waited too long.
   *
   * @param id the same for the same name and password, which it does not tell
   */
  async function attempt<T>(
    { address, user }: Attempter,
    id: string,
    work: () => Promise<T | undefined>
  ): Promise<T | undefined> {
    const ofAddress = sourceIn(addresses, address)
    // A name that is new is behind those that are known: a guesser who takes another name each time gains nothing.
    const ofName = sourceIn(names, `${address}\n${user}`, served)
    await turn(ofAddress, ofName, id)
    try {
      const result = await work()
      if (result !== undefined) ofName.failures = 0
      else {
        // Set again, so that they count from now on.
        names.set(keyOf(`${address}\n${user}`), failed(ofName, FREE_FAILURES, PAUSE_MS))
        addresses.set(keyOf(address), failed(ofAddress, FREE_ADDRESS_FAILURES, ADDRESS_PAUSE_MS))
      }
      return result
    } finally {
      running--
      ofAddress.running--
      ofName.running--
      beginNext()
    }
  }

  function failed(source: Source, free: number, pauseMs: number): Source {
    source.failures++
    if (source.failures >= free) source.until = now() + pauseMs
    return source
  }

  function turn(address: Source, name: Source, id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (then: () => void) => () => {
        cancelTimer()
        waiting.splice(waiting.indexOf(mine), 1)
        then()
      }
      const refuse = leave(() => {
        refused.set(id, true)
        reject(tooMany())
      })
      const mine = { address, name, again: refused.has(id), begin: leave(resolve), refuse }
      const cancelTimer = after(LONGEST_WAIT_MS, mine.refuse)
      waiting.push(mine)
      const ofName = waiting.filter(other => other.name === name)
      if (ofName.length > WAITING_OF_NAME) (ofName.findLast(other => !other.again) ?? mine).refuse()
      else if (waiting.length > MOST_WAITING) newestOfBusiest(waiting).refuse()
      beginNext()
    })
  }

  function beginNext(): void {
    cancelWake()
    while (running < CHECKS_AT_ONCE) {
      const next = nextOf(waiting, now())
      if (!next) break
      running++
      served++
      for (const source of [next.address, next.name]) {
        source.running++
        source.served = served
      }
      // Until its outcome is known, an address with many failures gets no other check.
      if (next.address.failures >= FREE_ADDRESS_FAILURES) next.address.until = now() + ADDRESS_PAUSE_MS
      next.begin()
    }
    const paused = waiting
      .map(({ address, name }) => Math.max(address.until, name.until))
      .filter(until => until > now())
    if (running < CHECKS_AT_ONCE && paused.length > 0) {
      cancelWake = after(Math.max(1, Math.ceil(Math.min(...paused) - now())), beginNext)
    }
  }

  return attempt
}

const keyOf = (key: string): string => key.slice(0, LONGEST_KEY)

function sourceIn(all: LRUCache<string, Source>, key: string, served = 0): Source {
  const kept = keyOf(key)
  const known = all.get(kept)
  if (known) return known
  const made = { failures: 0, until: Number.NEGATIVE_INFINITY, served, running: 0 }
  all.set(kept, made)
  return made
}

/** Of those that may begin now, the one whose address was served longest ago, and there who came again; then whose name. */
function nextOf(waiting: readonly Waiting[], now: number): Waiting | undefined {
  let next: Waiting | undefined
  for (const one of waiting) {
    const { address, name } = one
    if (name.running > 0 || name.until > now || address.until > now) continue
    const order =
      next &&
      (address.served - next.address.served || Number(next.again) - Number(one.again) || name.served - next.name.served)
    if (order === undefined || order < 0) next = one
  }
  return next
}

/** Where too many wait, the address with the most of them gives up its newest; one that came again only if all have. */
function newestOfBusiest(waiting: readonly Waiting[]): Waiting {
  const counts = new Map<Source, number>()
  for (const { address } of waiting) counts.set(address, (counts.get(address) ?? 0) + 1)
  const most = Math.max(...counts.values())
  const ofBusiest = waiting.filter(({ address }) => counts.get(address) === most)
  return ofBusiest.findLast(({ again }) => !again) ?? ofBusiest.at(-1)!
}

const tooMany = (): RegistryError =>
  new RegistryError(
    'too-many-requests',
    { retryAfter: PAUSE_MS / 1000 },
    { message: 'too many failed logins, or too many at once' }
  )
