import { createHash, createHmac, randomBytes } from 'node:crypto'
import { hash as bcrypt, verify as bcryptVerify } from '@node-rs/bcrypt'
import { LRUCache } from 'lru-cache'
import type { Attempt } from './access.ts'
import type { Caller, Credentials } from './caller.ts'
import { costOf, type Htpasswd } from './htpasswd.ts'

/** Work of a new hash, as a power of 2: about 50 ms of one core. */
const COST = 10

/** A hash of this cost that nobody knows a password for: what is wrong anyway can be checked against it. */
const decoy = (cost: number): string => `$2b$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`

/** Makes a bcrypt hash. Of a password, bcrypt takes the first 72 bytes alone. */
export const hashPassword = (password: string, cost = COST): Promise<string> => bcrypt(password, cost)

/** What came of looking at a password; `remembered`: it was found right before. */
export type PasswordCheck = 'remembered' | 'right' | 'wrong'

type Matches = (password: string, hash: string) => Promise<boolean>

/** For who is not a client. */
const UNBOUNDED: Attempt = { from: () => '', try: (_id, work) => work() }

export type Passwords = ReturnType<typeof createPasswords>

/**
 * Checks passwords against their bcrypt hashes, off the main thread. What has been found right is remembered, so that a
 * pull of 100 layers pays once: under an HMAC whose key dies with the process, never as a password. What has been found
 * wrong is remembered too: a program that goes on with an old password is no guesser.
 *
 * @param file the password file as it is now
 * @param matches whether a password is the one of a hash; tests count the work by it
 * @param checked told what came of each look at a password
 */
export function createPasswords(
  file: () => Htpasswd,
  matches: Matches = bcryptVerify,
  checked: (result: PasswordCheck) => void = () => {}
) {
  const key = randomBytes(32)
  const known = new LRUCache<string, true>({ max: 10_000 })
  // Apart, so that guesses push out nothing that is right.
  const wrong = new LRUCache<string, true>({ max: 10_000 })
  const checking = new Map<string, Promise<boolean>>()

  /**
   * Whether this is the user's password. For a user that there is not, it takes as long to say no. Throws
   * `too-many-requests` where it can't be checked soon.
   */
  async function verify({ user, password }: Credentials, attempt: Attempt = UNBOUNDED): Promise<boolean> {
    const hash = file().hashes.get(user)
    // With the hash in it, what was remembered of a password ends when the file has another one.
    const id = createHmac('sha256', key).update(`${user}\n${hash}\n${password}`).digest('base64')
    if (known.has(id) || wrong.has(id)) {
      checked(known.has(id) ? 'remembered' : 'wrong')
      return known.has(id)
    }
    // Apart by address, as who guesses from one address may be refused there.
    const place = `${id} ${attempt.from()}`
    let check = checking.get(place)
    if (!check) {
      check = judge(id, () => compare(password, hash), attempt).finally(() => checking.delete(place))
      checking.set(place, check)
    }
    const right = await check
    checked(right ? 'right' : 'wrong')
    return right
  }

  async function judge(id: string, right: () => Promise<boolean>, attempt: Attempt): Promise<boolean> {
    // Another address may have found it out while this one waited.
    const found = await attempt.try(id, async () => known.has(id) || (await right()) || undefined)
    const remembered = found ? known : wrong
    remembered.set(id, true)
    return found ?? false
  }

  /**
   * A wrong password takes the time of the costliest hash of the file, whoever it is said to be of: after a check of cost
   * c, checks of c, c + 1 and so on up to the highest but one add up to it, as 2^c + 2^c + 2^(c+1) + … = 2^highest.
   */
  async function compare(password: string, hash: string | undefined): Promise<boolean> {
    if (hash !== undefined && (await matches(password, hash))) return true
    const { highestCost } = file()
    const paid = hash === undefined ? undefined : costOf(hash)
    if (paid === undefined) await matches(password, decoy(highestCost))
    else for (let cost = paid; cost < highestCost; cost++) await matches(password, decoy(cost))
    return false
  }

  /** Undefined: there is no such user, or the password is another one. */
  async function login(credentials: Credentials, attempt: Attempt): Promise<Caller | undefined> {
    if (!(await verify(credentials, attempt))) return undefined
    const { user } = credentials
    return { user, renewal: () => ({ by: 'password', fingerprint: fingerprintOf(user) ?? '' }) }
  }

  /** Changes with the user's password; undefined: there is no such user. A bcrypt hash has 128 bits of salt. */
  function fingerprintOf(user: string): string | undefined {
    const hash = file().hashes.get(user)
    return hash === undefined ? undefined : createHash('sha256').update(`${user}\n${hash}`).digest('base64url')
  }

  const isStill = (user: string, fingerprint: string): boolean => fingerprintOf(user) === fingerprint

  return { verify, login, isStill, has: (user: string): boolean => file().hashes.has(user) }
}
