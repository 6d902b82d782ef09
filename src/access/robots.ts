import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { RegistryLog } from '../registry/log.ts'
import type { Robot, Robots } from '../registry/robots.ts'
import type { Caller, Credentials } from './caller.ts'
import { createPolicy } from './policy.ts'
import { hashOf, isToken } from './robot-token.ts'

/** How long a token may still be good after it was revoked, in ms. Each token costs a read of the store as often. */
export const REVOKED_WITHIN_MS = 10_000

/**
 * The least time from one listing of the tokens to the next, in ms: what tokens that nobody has cost the store at most,
 * however many are tried.
 */
export const LISTED_EVERY_MS = 250

export interface RobotLoginOptions {
  robots: Pick<Robots, 'find' | 'tokenHashes' | 'noteUse'>
  /** Whether the day of a login may be written down. */
  notes: boolean
  log: Pick<RegistryLog, 'debug'>
  /** ms since 1970. */
  now: () => number
  /** A monotonic clock, in ms. */
  steady: () => number
}

interface Known {
  robot: Robot
  caller: Caller
  /** By the monotonic clock. */
  asked: number
}

/**
 * Lets in who has a robot's token as password, under whatever user name. What was found right is remembered for a short
 * while by the token's hash, never as a token. Nobody guesses 214 bits, so wrong tokens keep no right one out; what they may
 * cost is bounded: a token is looked up only if a list of all of them has it.
 */
export function createRobotLogin({ robots, notes, log, now, steady }: RobotLoginOptions) {
  const known = new LRUCache<string, Known>({ max: 10_000 })
  const asking = new Map<string, Promise<Known | undefined>>()
  const wrong = new LRUCache<string, true>({ max: 10_000 })
  const noted = new LRUCache<string, string>({ max: 10_000 })
  const isListed = createListing(robots.tokenHashes, steady)

  /** Whose token the password is; undefined: nobody's, or one that is over. */
  async function login({ password }: Credentials): Promise<Caller | undefined> {
    return isToken(password) ? find(hashOf(password)) : undefined
  }

  /** The robot whose token has this hash. */
  async function find(hash: string): Promise<Caller | undefined> {
    if (wrong.has(hash)) return undefined
    const remembered = known.get(hash)
    const found = remembered && steady() - remembered.asked < REVOKED_WITHIN_MS ? remembered : await ask(hash)
    if (!found || (found.robot.expires ?? Number.POSITIVE_INFINITY) <= now()) return undefined
    if (notes) note(hash)
    return found.caller
  }

  function ask(hash: string): Promise<Known | undefined> {
    let asked = asking.get(hash)
    if (!asked) {
      asked = lookUp(hash).finally(() => asking.delete(hash))
      asking.set(hash, asked)
    }
    return asked
  }

  async function lookUp(hash: string): Promise<Known | undefined> {
    const asked = steady()
    const robot = known.has(hash) || (await isListed(hash)) ? await robots.find(hash) : undefined
    if (!robot) {
      known.delete(hash)
      wrong.set(hash, true) // for ever: no two tokens are the same
      return undefined
    }
    const { name, repositories, actions, expires } = robot
    const rights = createPolicy({ rules: [{ anonymous: true, repositories, actions }] })
    const caller: Caller = {
      user: `token:${name}`, // no user of the password file has a colon in its name
      rights,
      renewal: () => ({ by: 'robot', hash }),
      ...(expires !== undefined && { ends: expires })
    }
    const found = { robot, caller, asked }
    known.set(hash, found)
    return found
  }

  /** Once a day, and nobody waits for it. */
  function note(hash: string): void {
    const day = new Date(now()).toISOString().slice(0, 10)
    if (noted.get(hash) === day) return
    noted.set(hash, day)
    robots.noteUse(hash, day).catch(error => {
      noted.delete(hash)
      log.debug({ err: error }, 'could not note the use of a token')
    })
  }

  return { login, find }
}

/** Tells whether a hash is a token's, by a list that is read again for one that is not in it. */
function createListing(list: () => Promise<ReadonlySet<string>>, steady: () => number) {
  let hashes: ReadonlySet<string> = new Set()
  let begun = Number.NEGATIVE_INFINITY
  let reading: Promise<unknown> = Promise.resolve()
  /** A list that has not begun yet: it has all that was made before whoever waits for it came. */
  let next: Promise<void> | undefined

  async function readNext(): Promise<void> {
    await reading
    await pause(Math.max(0, begun + LISTED_EVERY_MS - steady()))
    next = undefined
    begun = steady()
    const read = list()
    reading = read.catch(() => undefined)
    hashes = await read
  }

  return async (hash: string): Promise<boolean> => {
    if (hashes.has(hash)) return true
    next ??= readNext()
    await next
    return hashes.has(hash)
  }
}
