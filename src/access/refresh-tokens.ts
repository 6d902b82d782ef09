import type { JWTPayload } from 'jose'
import type { Caller, Renewal } from './caller.ts'
import { type OwnKeys, publicKeysOf, signWith } from './own-keys.ts'
import { createVerifier, invalidToken } from './token-verifier.ts'

/** Their `iss`: another one than that of bearer tokens, so that neither is ever taken for the other. */
const ISSUER = 'marina-distribution/refresh'

export interface RefreshOptions {
  keys: OwnKeys
  /** The `aud` of tokens. */
  service: string
  lifetimeMs: number
  leewayMs: number
  /** ms since 1970. */
  now: () => number
  /** Whether the user still has the password with this fingerprint. */
  hasPassword(user: string, fingerprint: string): boolean
  /** The robot whose token has this hash; undefined: there is none now. */
  findRobot(hash: string): Promise<Caller | undefined>
}

export type RefreshTokens = ReturnType<typeof createRefreshTokens>

/**
 * Tokens that clients keep in place of a password, and get bearer tokens with (`offline_token` in the Docker token protocol).
 * They can be used again and again until they end. Nothing is kept of them: each use looks whether the password is still the
 * user's, or the robot still there.
 */
export function createRefreshTokens(options: RefreshOptions) {
  const { keys, service, lifetimeMs, leewayMs, now, hasPassword, findRobot } = options
  const verifier = createVerifier({
    keys: publicKeysOf(keys),
    issuer: ISSUER,
    audience: service,
    leewayMs,
    now,
    read: readClaims
  })

  /** Undefined: for who has not logged in, and who can't be looked for again. */
  async function issue({ user, groups, claims, ends, renewal }: Caller): Promise<string | undefined> {
    if (user === undefined || renewal === undefined) return undefined
    const issuedAt = Math.floor(now() / 1000)
    const endsAt = Math.floor(Math.min(now() + lifetimeMs, ends ?? Infinity) / 1000)
    if (endsAt <= issuedAt) return undefined
    const signing = { issuer: ISSUER, audience: service, subject: user, issuedAt, endsAt }
    return signWith(keys, { renewal: renewal(), groups, claims }, signing)
  }

  /** Whose token it is, as of now. Throws `unauthorized`. */
  async function redeem(token: string): Promise<Caller> {
    const { user, renewal, groups, claims, ends } = await verifier.verify(token)
    if (ends <= now()) throw invalidToken()
    switch (renewal.by) {
      case 'password':
        if (!hasPassword(user, renewal.fingerprint)) throw invalidToken()
        return { user, ends, renewal: () => renewal }
      case 'robot': {
        const robot = await findRobot(renewal.hash)
        if (!robot) throw invalidToken()
        return { ...robot, ends: Math.min(ends, robot.ends ?? Infinity) }
      }
      default:
        return { user, ends, ...(groups && { groups }), ...(claims && { claims }), renewal: () => renewal }
    }
  }

  return { issue, redeem }
}

interface RefreshClaims extends Pick<Caller, 'groups' | 'claims'> {
  user: string
  renewal: Renewal
  ends: number
}

/** Only what we have signed gets here. */
function readClaims(payload: JWTPayload): RefreshClaims {
  const { renewal, groups, claims } = payload as Pick<RefreshClaims, 'renewal' | 'groups' | 'claims'>
  const { sub = '', exp = 0 } = payload
  return { user: sub, renewal, groups, claims, ends: exp * 1000 } as RefreshClaims
}
