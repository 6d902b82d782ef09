import { createHash, createPublicKey, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto'

/** A public key that signatures of an issuer are checked with. */
export interface TokenKey {
  key: KeyObject
  /** The names by which tokens may mean this key. */
  ids: ReadonlySet<string>
  /** The one algorithm that it is for, where its issuer says so. */
  algorithm: string | undefined
}

/** Where an issuer's keys come from. */
export interface TokenKeys {
  current(): Promise<readonly TokenKey[]>
  /** Looks for newer ones, unless it did so a moment ago. */
  renew(): Promise<readonly TokenKey[]>
  /** Issuers of certificates that a token may bring with it, in its header. */
  roots(): readonly X509Certificate[]
}

/** Reads a JWK set (RFC 7517). Throws an Error where it is none, or has no key for signatures that can be used. */
export function keysOfJwks(value: unknown): TokenKey[] {
  const { keys } = (value ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('it is no JWK set: it has no list of `keys`')
  const found: TokenKey[] = []
  for (const jwk of keys as JsonWebKey[]) {
    // Identity providers list keys for encryption, and of kinds that are not known here, beside those for signatures.
    if (!isForSignatures(jwk)) continue
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    const named = typeof jwk.kid === 'string' ? [jwk.kid] : []
    const algorithm = typeof jwk.alg === 'string' ? jwk.alg : undefined
    found.push({ key, ids: new Set([...named, thumbprint(key), libtrustId(key)]), algorithm })
  }
  if (found.length === 0) throw new Error('it has no public key of RSA, EC or EdDSA')
  return found
}

function isForSignatures(jwk: JsonWebKey | null): jwk is JsonWebKey {
  const { kty, use } = jwk ?? {}
  return (kty === 'RSA' || kty === 'EC' || kty === 'OKP') && (use === undefined || use === 'sig')
}

/** The keys of certificates, each of which may have signed a token itself. */
export function keysOfCertificates(certificates: readonly X509Certificate[]): TokenKey[] {
  return certificates.map(({ publicKey: key }) => ({
    key,
    ids: new Set([thumbprint(key), libtrustId(key)]),
    algorithm: undefined
  }))
}

/** Reads certificates in PEM form, one after the other. Throws an Error where there is none, or one can't be read. */
export function parseCertificates(text: string): X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  if (found.length === 0) throw new Error('it has no certificate')
  return found.map(pem => new X509Certificate(pem))
}

/** The members of a key that its thumbprint is made from, in this order (RFC 7638 section 3.2). */
const MEMBERS = ['crv', 'e', 'kty', 'n', 'x', 'y']

/** The name that a key has by what it is, whatever its file says; Distribution looks for it too. */
export function thumbprint(key: KeyObject): string {
  const jwk = key.export({ format: 'jwk' })
  const members = MEMBERS.filter(name => jwk[name] !== undefined).map(name => [name, jwk[name]])
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(members)))
    .digest('base64url')
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** What docker_auth, GitLab, Harbor and Keycloak have as `kid`: 240 bits of a hash in base 32, `ABCD:EFGH:…`. */
export function libtrustId(key: KeyObject): string {
  const hash = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest()
  const bits = [...hash.subarray(0, 30)].map(byte => byte.toString(2).padStart(8, '0')).join('')
  const letters = bits.match(/.{5}/g)!.map(five => BASE32[Number.parseInt(five, 2)])
  return letters.join('').match(/.{4}/g)!.join(':')
}
