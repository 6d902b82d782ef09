import { decodeJwt, type JWTPayload } from 'jose'
import { RegistryError } from '../registry/errors.ts'
import type { Caller, Credentials } from './caller.ts'
import { claimsMatcherOf, claimsOf, expandTemplate } from './claims.ts'
import type { OidcIssuer } from './oidc-file.ts'
import type { TokenKeys } from './token-keys.ts'
import { createVerifier, invalidToken } from './token-verifier.ts'

export interface OidcOptions {
  /** The issuers as the file has them now; another list where it has changed. */
  issuers: () => readonly OidcIssuer[]
  keysOf: (issuer: OidcIssuer) => TokenKeys
  leewayMs: number
  /** ms since 1970. */
  now: () => number
}

/** Lets in who has an ID token as password, under whatever user name. */
export function createOidcLogin({ issuers, keysOf, leewayMs, now }: OidcOptions) {
  const verifiers = new WeakMap<OidcIssuer, (token: string) => Promise<Caller>>()

  function verifierOf(entry: OidcIssuer): (token: string) => Promise<Caller> {
    let verify = verifiers.get(entry)
    if (!verify) {
      const { issuer, audience } = entry
      const read = createReader(entry)
      ;({ verify } = createVerifier({ keys: keysOf(entry), issuer, audience, leewayMs, now, read }))
      verifiers.set(entry, verify)
    }
    return verify
  }

  /** Whose ID token the password is; undefined: it is none, or none that is good here. Throws `issuer-unavailable`. */
  return async function login({ password }: Credentials): Promise<Caller | undefined> {
    const issuer = issuerOf(password)
    if (issuer === undefined) return undefined
    for (const entry of issuers().filter(entry => entry.issuer === issuer)) {
      const caller = await verifierOf(entry)(password).catch(error => {
        if (error instanceof RegistryError && error.kind === 'unauthorized') return undefined
        throw error
      })
      if (caller) return caller
    }
    return undefined
  }
}

/** Who a password says that it is of, unproven. */
function issuerOf(password: string): string | undefined {
  if (!/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(password)) return undefined
  try {
    return decodeJwt(password).iss
  } catch {
    return undefined
  }
}

/** Makes of an ID token's claims who it is. Throws `unauthorized` where what is required is not in them. */
function createReader({ user, groups = [], required }: OidcIssuer): (payload: JWTPayload) => Caller {
  const isMet = claimsMatcherOf(required)
  return payload => {
    const claims = claimsOf(payload)
    const [name, ...others] = expandTemplate(user, claims)
    if (!isMet(claims) || name === undefined || others.length > 0) throw invalidToken()
    return {
      user: name,
      groups: groups.flatMap(group => expandTemplate(group, claims)),
      claims,
      ends: payload.exp! * 1000,
      renewal: () => ({ by: 'issuer' })
    }
  }
}
