import type { X509Certificate } from 'node:crypto'
import { keysOfJwks, parseCertificates, type TokenKey } from '../access/token-keys.ts'
import { problemsOf, readAs } from './files.ts'
import type { Reader } from './reader.ts'
import { duration, optional, text } from './values.ts'

/** What can stand in a header between quotes. */
const QUOTABLE = /^[\x21\x23-\x5b\x5d-\x7e]+$/

/** The variables of bearer tokens. */
export const tokenVariables = {
  AUTH_TOKEN_ISSUER: optional(
    text(
      {
        default: '',
        description:
          'Who issues the bearer tokens that clients may come with: the `iss` of an identity provider, `self` for this registry at `/v2/token`, or `none`.',
        unset: '`self` where some may log in and anybody may pull something, unless `READ_ONLY`; else `none`'
      },
      '`self`, `none`, or what tokens have as `iss`',
      /^\P{Cc}+$/u
    )
  ),
  AUTH_TOKEN_REALM: optional(
    text(
      {
        default: '',
        unset: 'with `self` the `/v2/token` of `EXTERNAL_URL`, or of the address that the client came to',
        description: 'The URL at which clients get a token. Required, but for `self`.'
      },
      'an absolute `http://` or `https://` URL',
      { test: value => /^https?:\/\//i.test(value) && QUOTABLE.test(value) && URL.canParse(value) }
    )
  ),
  AUTH_TOKEN_SERVICE: optional(
    text(
      {
        default: '',
        unset: 'with `self` `marina-distribution`',
        description: 'The name of this registry at the issuer: tokens must have it as `aud`. Required, but for `self`.'
      },
      'text without spaces, `"` or `\\`',
      QUOTABLE
    )
  ),
  AUTH_TOKEN_JWKS: optional(
    text(
      {
        default: '',
        description:
          "The issuer's public keys: a JWK set, in a file that is read again when it changes, or at a URL that is asked again at most twice a minute when a token names a key that is not known."
      },
      'a file that this process may read, or an `https://` URL (`http://` on this machine alone)'
    )
  ),
  AUTH_TOKEN_ROOTCERTS: optional(
    text(
      {
        default: '',
        description:
          "The issuer's certificates, instead of a JWK set: of the keys that it signs with, or of who signed those that its tokens bring along (`x5c`). Read again when it changes."
      },
      'a file that this process may read, with certificates in PEM form'
    )
  ),
  AUTH_TOKEN_LEEWAY: duration(
    { default: '60s', description: "How far the issuer's clock and this machine's may be apart." },
    '0s',
    '10m'
  ),
  AUTH_TOKEN_LIFETIME: duration(
    { default: '5m', description: 'How long a token of this registry is good (`AUTH_TOKEN_ISSUER=self`).' },
    '1m',
    '24h'
  ),
  AUTH_TOKEN_REFRESH_LIFETIME: duration(
    {
      default: '90d',
      description:
        'How long a refresh token of this registry is good, which `docker login` keeps in place of the password (`AUTH_TOKEN_ISSUER=self`). `0s`: there are none.'
    },
    '0s',
    '3650d'
  )
}

/** The bearer tokens that clients may come with. */
export interface TokenSettings {
  /** Their `iss`; undefined: this registry issues them itself. */
  issuer?: string | undefined
  /** Where clients get them; undefined: at this registry. */
  realm?: string | undefined
  /** Their `aud`. */
  service: string
  /** The issuer's keys: a file or a URL. One of this and `rootCertsFile` is there where there is an issuer. */
  jwks?: string | undefined
  rootCertsFile?: string | undefined
  /** How far the issuer's clock and ours may be apart. */
  leewayMs: number
  /** How long a token of ours is good. */
  lifetimeMs: number
  /** How long a refresh token of ours is good; 0 or undefined: there are none. */
  refreshLifetimeMs?: number | undefined
  /** Nobody has asked for them: they are there for clients that have not logged in. */
  byDefault?: boolean | undefined
}

const OWN_SERVICE = 'marina-distribution'

/** Our own tokens where nothing is said of any; undefined: something is. */
export function readDefaultTokens({ read, isSet }: Reader, leewayMs: number): TokenSettings | undefined {
  if (isSet('AUTH_TOKEN_ISSUER')) return undefined
  return { service: OWN_SERVICE, leewayMs, ...ownLifetimes(read), byDefault: true }
}

const ownLifetimes = (read: Reader['read']) => ({
  lifetimeMs: read('AUTH_TOKEN_LIFETIME'),
  refreshLifetimeMs: read('AUTH_TOKEN_REFRESH_LIFETIME')
})

/** Reads the settings of tokens; undefined: there are none. What is missing or does not fit together is a problem. */
export function readTokens({ read, isSet, problems }: Reader, leewayMs: number): TokenSettings | undefined {
  const [given, realm, service] = [read('AUTH_TOKEN_ISSUER'), read('AUTH_TOKEN_REALM'), read('AUTH_TOKEN_SERVICE')]
  const [jwks, rootCertsFile] = [read('AUTH_TOKEN_JWKS'), read('AUTH_TOKEN_ROOTCERTS')]
  const times = { leewayMs, ...ownLifetimes(read) }
  if (jwks !== undefined) problems.push(...problemsOf(() => (isUrl(jwks) ? keysUrl(jwks) : readJwks(jwks))))
  if (rootCertsFile !== undefined) problems.push(...problemsOf(() => readRootCerts(rootCertsFile)))
  if (given === undefined) {
    if (isSet('AUTH_TOKEN_ISSUER')) return undefined
    const lone = (['REALM', 'SERVICE', 'JWKS', 'ROOTCERTS'] as const).find(name => isSet(`AUTH_TOKEN_${name}`))
    if (lone) problems.push(`AUTH_TOKEN_${lone} is set and AUTH_TOKEN_ISSUER is not; allowed: together`)
    return undefined
  }
  if (given === 'self' || given === 'none') {
    const useless =
      given === 'self' ? (['JWKS', 'ROOTCERTS'] as const) : (['REALM', 'SERVICE', 'JWKS', 'ROOTCERTS'] as const)
    const idle = useless.find(name => isSet(`AUTH_TOKEN_${name}`))
    if (idle)
      problems.push(`AUTH_TOKEN_${idle} is set and AUTH_TOKEN_ISSUER is "${given}"; allowed: with another issuer`)
    if (given === 'none') return undefined
    return { realm, service: service ?? OWN_SERVICE, ...times }
  }
  if (realm === undefined || service === undefined) {
    const missing = realm === undefined ? 'AUTH_TOKEN_REALM' : 'AUTH_TOKEN_SERVICE'
    problems.push(`AUTH_TOKEN_ISSUER is set and ${missing} is not; allowed: together, or AUTH_TOKEN_ISSUER=self`)
  }
  if ((jwks === undefined) === (rootCertsFile === undefined)) {
    problems.push('AUTH_TOKEN_ISSUER needs its keys; allowed: one of AUTH_TOKEN_JWKS and AUTH_TOKEN_ROOTCERTS')
  }
  return { issuer: given, realm, service: service ?? '', jwks, rootCertsFile, ...times }
}

export const isUrl = (place: string): boolean => /^https?:\/\//i.test(place)

/** Whoever could change keys on their way could sign any token. */
export function keysUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && isSafe(url)) return url
  throw new Error(
    `AUTH_TOKEN_JWKS is ${JSON.stringify(text)}; allowed: a file, or an https:// URL (http:// on this machine alone)`
  )
}

/** Whether nobody on the way can change what comes from there. */
export function isSafe({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}

/**
 * Throws an Error with one line for the operator where the file can't be used.
 *
 * @param name the variable that leads to it
 */
export function readJwks(path: string, name = 'AUTH_TOKEN_JWKS'): TokenKey[] {
  return readAs(name, path, 'a JWK set with public keys, in JSON', text => keysOfJwks(parseJson(text)))
}

/** Throws an Error with one line for the operator where the file can't be used. */
export function readRootCerts(path: string): X509Certificate[] {
  return readAs('AUTH_TOKEN_ROOTCERTS', path, 'certificates in PEM form', parseCertificates)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('it is no JSON')
  }
}
