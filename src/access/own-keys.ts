import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { type JWTPayload, SignJWT } from 'jose'
import { type TokenKey, type TokenKeys, thumbprint } from './token-keys.ts'

/** Private keys, each as `makePrivateKey` made it: to sign with, and to check with. */
export type OwnKeys = () => Promise<{ newest: Buffer; all: readonly Buffer[] }>

/** A new private key, as it is kept. */
export const makePrivateKey = (): Buffer =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' })

const parsePrivateKey = (bytes: Buffer): KeyObject => createPrivateKey({ key: bytes, type: 'pkcs8', format: 'der' })

export interface Signing {
  issuer: string
  audience: string
  subject: string
  /** Seconds since 1970. */
  issuedAt: number
  endsAt: number
}

/** Signs a token with the newest of our keys. */
export async function signWith(keys: OwnKeys, claims: JWTPayload, signing: Signing): Promise<string> {
  const { newest } = await keys()
  const key = parsePrivateKey(newest)
  const { issuer, audience, subject, issuedAt, endsAt } = signing
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: thumbprint(createPublicKey(key)) })
    .setIssuer(issuer)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(endsAt)
    .setSubject(subject)
    .sign(key)
}

/** The public halves of our keys. */
export function publicKeysOf(keys: OwnKeys): TokenKeys {
  const known = new WeakMap<readonly Buffer[], TokenKey[]>()
  const current = async () => {
    const { all } = await keys()
    const made = known.get(all) ?? all.map(publicKey)
    known.set(all, made)
    return made
  }
  return { current, renew: current, roots: () => [] }
}

function publicKey(bytes: Buffer): TokenKey {
  const key = createPublicKey(parsePrivateKey(bytes))
  return { key, ids: new Set([thumbprint(key)]), algorithm: 'EdDSA' }
}
