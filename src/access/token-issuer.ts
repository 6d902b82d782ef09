import type { JWTPayload } from 'jose'
import { RegistryError } from '../registry/errors.ts'
import type { Caller } from './caller.ts'
import { type OwnKeys, publicKeysOf, signWith } from './own-keys.ts'
import { createPolicy, type Rule } from './policy.ts'
import { type Access, grantsOf, scopeText } from './scope.ts'
import { createVerifier, invalidToken } from './token-verifier.ts'

/** The `iss` of our own tokens. */
const ISSUER = 'marina-distribution'

/** Longest token, in bytes: with it, the headers of a request stay below what most servers and proxies take (16 KiB). */
const LONGEST = 12 * 1024

export interface IssuerOptions {
  keys: OwnKeys
  /** The `aud` of tokens. */
  service: string
  lifetimeMs: number
  leewayMs: number
  /** ms since 1970. */
  now: () => number
}

export interface IssuedToken {
  token: string
  /** In seconds from `issuedAt` on. */
  expiresIn: number
  issuedAt: Date
  /** What it grants. */
  scope: string
  /** To get more of them with, where that was asked for and may be. */
  refreshToken?: string | undefined
}

export type Issuer = ReturnType<typeof createIssuer>

/** Issues tokens, and knows its own again. */
export function createIssuer({ keys, service, lifetimeMs, leewayMs, now }: IssuerOptions) {
  const verifier = createVerifier({
    keys: publicKeysOf(keys),
    issuer: ISSUER,
    audience: service,
    leewayMs,
    now,
    read: ownerOf
  })

  /**
   * A token for somebody who has said who they are, or for anybody, which ends no later than what they have proved that
   * with. Throws `request-invalid` where it gets too long, `unauthorized` where that proof ends now.
   */
  async function issue(caller: Caller, access: readonly Access[]): Promise<IssuedToken> {
    const { user, groups, claims, rights, ends } = caller
    const issuedAt = Math.floor(now() / 1000)
    const expiresIn = Math.min(Math.floor(lifetimeMs / 1000), Math.floor((ends ?? Infinity) / 1000) - issuedAt)
    if (expiresIn < 1) throw invalidToken()
    const content = { access, groups, claims, rights: rights?.rules, ends }
    const subject = user ?? ''
    const signing = { issuer: ISSUER, audience: service, subject, issuedAt, endsAt: issuedAt + expiresIn }
    const token = await signWith(keys, content, signing)
    if (token.length > LONGEST) throw new RegistryError('request-invalid', {}, { message: 'too many scopes at once' })
    return { token, expiresIn, issuedAt: new Date(issuedAt * 1000), scope: access.map(scopeText).join(' ') }
  }

  /**
   * Whose token it is, and what it grants. Throws `unauthorized` where it is not ours or not valid now. `AUTH_TOKEN_LEEWAY`
   * is for clocks of processes that differ: it lengthens the life of a token, and of no robot.
   */
  async function verify(token: string): Promise<Caller> {
    const caller = await verifier.verify(token)
    if (caller.ends !== undefined && caller.ends <= now()) throw invalidToken()
    return caller
  }

  return { issue, verify }
}

/** What the policy may want to know is in the token, and robots' own rights are, as their records may be gone. */
function ownerOf(payload: JWTPayload): Caller {
  type Owner = Pick<Caller, 'groups' | 'claims' | 'ends'> & { rights?: readonly Rule[] }
  const { groups, claims, rights, ends } = payload as Owner
  return {
    ...callerOf(payload),
    ...(groups && { groups }),
    ...(claims && { claims }),
    ...(rights && { rights: createPolicy({ rules: rights }) }),
    ...(ends !== undefined && { ends })
  }
}

/** Who has a token with these claims. */
export function callerOf({ sub, access }: JWTPayload): Caller {
  return { ...(typeof sub === 'string' && sub !== '' && { user: sub }), grants: grantsOf(access) }
}
