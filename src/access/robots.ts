import { createHmac, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { RegistryLog } from '../registry/log.ts'
import type { Robot, Robots } from '../registry/robots.ts'
import type { Attempt } from './access.ts'
import type { Caller, Credentials } from './caller.ts'
import { createPolicy } from './policy.ts'
import { hashOf, isToken } from './robot-token.ts'

/** How long a token may still be good after it was revoked, in ms. Each token costs a read of the store as often. */
export const REVOKED_WITHIN_MS = 10_000

export interface RobotLoginOptions {
  robots: Pick<Robots, 'find' | 'noteUse'>
  /** Whether the day of a login may be written down. */
  notes: boolean
  log: Pick<RegistryLog, 'debug'>
  /** ms since 1970; tests turn it. */
  now?: () => number
}

interface Known {
  robot: Robot
  caller: Caller
  /** ms since 1970. */
  asked: number
}

/**
 * Lets in who has a robot's token as password, under whatever user name. What was found right is remembered for a short
 * while, under an HMAC whose key dies with the process, never as a token.
 */
export function createRobotLogin({ robots, notes, log, now = Date.now }: RobotLoginOptions) {
  const key = randomBytes(32)
  const known = new LRUCache<string, Known>({ max: 10_000 })
  const asking = new Map<string, Promise<Known | undefined>>()
  const wrong = new LRUCache<string, true>({ max: 10_000 })
  const noted = new LRUCache<string, string>({ max: 10_000 })

  /** Whose token the password is; undefined: nobody's, or one that is over. */
  async function login({ password }: Credentials, attempt: Attempt): Promise<Caller | undefined> {
    if (!isToken(password)) return undefined
    const id = createHmac('sha256', key).update(password).digest('base64')
    if (wrong.has(id)) return undefined
    const remembered = known.get(id)
    const found = remembered ? await askAgain(remembered, id, password) : await attempt(() => ask(id, password))
    if (!found || (found.robot.expires ?? Number.POSITIVE_INFINITY) <= now()) return undefined
    if (notes) note(id, password)
    return found.caller
  }

  /** Who was here before makes no new attempt: nobody else's failures keep them out. */
  async function askAgain(remembered: Known, id: string, token: string): Promise<Known | undefined> {
    return now() - remembered.asked < REVOKED_WITHIN_MS ? remembered : ask(id, token)
  }

  function ask(id: string, token: string): Promise<Known | undefined> {
    let asked = asking.get(id)
    if (!asked) {
      asked = lookUp(id, token).finally(() => asking.delete(id))
      asking.set(id, asked)
    }
    return asked
  }

  async function lookUp(id: string, token: string): Promise<Known | undefined> {
    const asked = now()
    const robot = await robots.find(hashOf(token))
    if (!robot) {
      known.delete(id)
      wrong.set(id, true) // for ever: no two tokens are the same
      return undefined
    }
    const { name, repositories, actions } = robot
    const rights = createPolicy({ rules: [{ anonymous: true, repositories, actions }] })
    // No user of the password file has a colon in its name.
    const found = { robot, caller: { user: `token:${name}`, rights }, asked }
    known.set(id, found)
    return found
  }

  /** Once a day, and nobody waits for it. */
  function note(id: string, token: string): void {
    const day = new Date(now()).toISOString().slice(0, 10)
    if (noted.get(id) === day) return
    noted.set(id, day)
    robots.noteUse(hashOf(token), day).catch(error => {
      noted.delete(id)
      log.debug({ err: error }, 'could not note the use of a token')
    })
  }

  return login
}
