import { createHash, type Hash } from 'node:crypto'
import { RegistryError } from './errors.ts'

/** The registered algorithms of the image spec (descriptor.md, "Registered algorithms"). */
export type Algorithm = 'sha256' | 'sha512'

const HEX_LENGTH: Record<Algorithm, number> = { sha256: 64, sha512: 128 }
const HEX = /^[0-9a-f]+$/

/** A digest that was checked: `<algorithm>:<lower-case hex>`. */
export type Digest = `${Algorithm}:${string}`

/**
 * Checks a digest as a client wrote it (image-spec, descriptor.md, "Digests").
 * Throws `digest-invalid` when it is malformed or its algorithm is none of ours.
 */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(':')
  const algorithm = parseAlgorithm(text.slice(0, Math.max(colon, 0)))
  const hex = text.slice(colon + 1)
  if (hex.length !== HEX_LENGTH[algorithm] || !HEX.test(hex)) {
    throw new RegistryError('digest-invalid', { digest: text.slice(0, 200) })
  }
  return text as Digest
}

/** Checks the name of an algorithm, as in `?digest-algorithm=`. Throws `digest-invalid` for any but sha256 and sha512. */
export function parseAlgorithm(text: string): Algorithm {
  if (text === 'sha256' || text === 'sha512') return text
  throw new RegistryError(
    'digest-invalid',
    { algorithm: text.slice(0, 40) },
    { message: 'digests are sha256:<64 hex digits> or sha512:<128 hex digits>' }
  )
}

/** The algorithm of a checked digest. */
export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** Ends a hash as a digest. */
export function digestOf(algorithm: Algorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.digest('hex')}`
}

/** The digest of bytes at hand. */
export function digestBytes(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return digestOf(algorithm, createHash(algorithm).update(bytes))
}

/** The digest of a body, read once. */
export async function digestChunks(chunks: AsyncIterable<Uint8Array>, algorithm: Algorithm): Promise<Digest> {
  const hash = createHash(algorithm)
  for await (const chunk of chunks) hash.update(chunk)
  return digestOf(algorithm, hash)
}
