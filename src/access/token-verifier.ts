import { createHmac, type KeyObject, randomBytes } from 'node:crypto'
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, type ProtectedHeaderParameters } from 'jose'
import { LRUCache } from 'lru-cache'
import { RegistryError } from '../registry/errors.ts'
import { keyOfChain } from './certificate-chain.ts'
import type { TokenKey, TokenKeys } from './token-keys.ts'

/** What a signature may be made with: public keys alone. `none` and secrets that both sides share are not among them. */
const ALGORITHMS = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ')

/** What was found right is remembered for at most so many tokens. */
const REMEMBERED = 10_000

export interface VerifierOptions<T> {
  keys: TokenKeys
  /** The issuer (`iss`) that tokens must be of. */
  issuer: string
  /** The audience (`aud`) that must be among theirs. */
  audience: string
  /** How far the issuer's clock and ours may be apart, in ms. */
  leewayMs: number
  /** ms since 1970. */
  now: () => number
  /** Makes of a token's claims what is wanted of it. Throws `unauthorized` where that is not in them. */
  read(claims: JWTPayload): T
}

/** The answer to a token that can't be used (RFC 6750 section 3.1). Why is for the log alone. */
export const invalidToken = (cause?: unknown): RegistryError =>
  new RegistryError('unauthorized', { reason: 'invalid_token' }, { cause })

/** Checks the tokens (RFC 7519) of one issuer. */
export function createVerifier<T extends object>({ keys, issuer, audience, leewayMs, now, read }: VerifierOptions<T>) {
  const secret = randomBytes(32)
  const known = new LRUCache<string, { value: T; until: number; keys: readonly TokenKey[] }>({ max: REMEMBERED })
  const leeway = Math.ceil(leewayMs / 1000)

  /**
   * What a token says. What was found right is remembered under an HMAC, until the token ends or the issuer's keys change.
   * Throws `unauthorized` where it is forged, not of this issuer or not for this audience, or not valid now;
   * `issuer-unavailable` where the issuer's keys can't be had.
   */
  async function verify(token: string): Promise<T> {
    const id = createHmac('sha256', secret).update(token).digest('base64')
    const remembered = known.get(id)
    if (remembered && now() < remembered.until) {
      if (remembered.keys === (await keys.current())) return remembered.value
    }
    const claims = await check(token, headerOf(token))
    const value = read(claims)
    known.set(id, { value, until: (claims.exp! + leeway) * 1000, keys: await keys.current() })
    return value
  }

  async function check(token: string, header: ProtectedHeaderParameters): Promise<JWTPayload> {
    let failure: unknown
    for (const key of await keysFor(header)) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: ALGORITHMS,
          issuer,
          audience,
          clockTolerance: leeway,
          currentDate: new Date(now()),
          requiredClaims: ['exp', 'iss', 'aud']
        })
        return payload
      } catch (error) {
        // A TypeError is what a key of another kind than the algorithm's leads to.
        if (!(error instanceof errors.JOSEError || error instanceof TypeError)) throw error
        failure = error
      }
    }
    throw invalidToken(failure)
  }

  /** The keys that a token's header may mean. Of the header, `kid` and `x5c` count; keys and addresses in it do not. */
  async function keysFor({ alg, kid, x5c }: ProtectedHeaderParameters): Promise<KeyObject[]> {
    const roots = keys.roots()
    if (x5c !== undefined && roots.length > 0) {
      const key = keyOfChain(x5c, roots, now())
      return key ? [key] : []
    }
    const named = (candidates: readonly TokenKey[]) =>
      candidates
        .filter(({ ids, algorithm }) => (kid === undefined || ids.has(kid)) && (!algorithm || algorithm === alg))
        .map(({ key }) => key)
    const found = named(await keys.current())
    return found.length > 0 ? found : named(await keys.renew())
  }

  return { verify }
}

/** Throws `unauthorized` where it is no token, or one whose signature is not looked at anyway. */
function headerOf(token: string): ProtectedHeaderParameters {
  try {
    const header = decodeProtectedHeader(token)
    if (ALGORITHMS.includes(header.alg ?? '')) return header
  } catch (error) {
    throw invalidToken(error)
  }
  throw invalidToken()
}
