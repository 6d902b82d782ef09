import type { X509Certificate } from 'node:crypto'
import { createRemoteJWKSet } from 'jose'
import { RegistryError } from '../registry/errors.ts'
import type { RegistryLog } from '../registry/log.ts'
import type { Watched } from '../watched.ts'
import { keysOfCertificates, keysOfJwks, type TokenKey, type TokenKeys } from './token-keys.ts'

/** How long an issuer may take to tell its keys, in ms. */
const TIMEOUT = 5000
/** How often its keys are asked for at most, whatever tokens come, in ms. */
const COOLDOWN = 30_000
/** How long they are used before they are asked for again, in ms. */
const MAX_AGE = 10 * 60_000
/** How long nobody waits anew for an issuer that has never answered, in ms. */
const PAUSE = 1000

/** The keys of a JWK set in a file that is read again when it changes. */
export function keysOfFile(file: Watched<TokenKey[]>): TokenKeys {
  const current = async () => file.value()
  return { current, renew: current, roots: () => [] }
}

/** The keys of certificates in a file; a token may also bring a certificate that one of them has signed. */
export function keysOfRoots(file: Watched<X509Certificate[]>): TokenKeys {
  const known = new WeakMap<X509Certificate[], TokenKey[]>()
  const current = async () => {
    const roots = file.value()
    const keys = known.get(roots) ?? keysOfCertificates(roots)
    known.set(roots, keys)
    return keys
  }
  return { current, renew: current, roots: file.value }
}

/**
 * The keys that an issuer tells over HTTP. While it can't be reached, those that it told last are used; where it told none
 * yet, `issuer-unavailable` is thrown.
 *
 * @param find the URL of its JWK set
 * @param steady a monotonic clock, in ms
 */
export function keysOfUrl(find: () => Promise<URL>, log: Pick<RegistryLog, 'warn'>, steady: () => number): TokenKeys {
  let keys: TokenKey[] | undefined
  let askedAt = Number.NEGATIVE_INFINITY
  let loading: Promise<TokenKey[]> | undefined
  const sinceAsked = () => steady() - askedAt

  async function load(): Promise<TokenKey[]> {
    if (!keys && sinceAsked() < PAUSE) throw new RegistryError('issuer-unavailable')
    try {
      const remote = createRemoteJWKSet(await find(), { timeoutDuration: TIMEOUT })
      await remote.reload()
      keys = keysOfJwks(remote.jwks())
    } catch (error) {
      if (!keys) throw new RegistryError('issuer-unavailable', {}, { cause: error })
      log.warn({ err: error }, 'an issuer of tokens does not tell its keys; those that it told before stay in use')
    } finally {
      askedAt = steady()
    }
    return keys
  }

  const ask = (): Promise<TokenKey[]> => {
    loading ??= load().finally(() => {
      loading = undefined
    })
    return loading
  }
  return {
    // Whoever waits for keys has nothing better; but an issuer that is away is not asked with every request.
    current: async () => (keys && sinceAsked() < MAX_AGE ? keys : ask()),
    renew: async () => (keys && sinceAsked() < COOLDOWN ? keys : ask()),
    roots: () => []
  }
}

/**
 * The URL of an issuer's JWK set, as it tells it itself (OpenID Connect Discovery 1.0 section 4). Throws an Error where it
 * does not, or says that it is somebody else.
 *
 * @param isSafe whether nobody on the way can change what comes from a URL
 */
export async function discoverKeys(issuer: string, isSafe: (url: URL) => boolean): Promise<URL> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT), redirect: 'error' })
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`)
  const told = (await answer.json()) as { issuer?: unknown; jwks_uri?: unknown }
  if (told.issuer !== issuer) throw new Error(`${url} is of the issuer ${JSON.stringify(told.issuer)}`)
  const place = String(told.jwks_uri)
  if (!URL.canParse(place) || !isSafe(new URL(place))) throw new Error(`${url} tells no safe jwks_uri`)
  return new URL(place)
}
