import { createHash } from 'node:crypto'
import { digestOf, seededBuffer } from '../test/reliability/bytes.ts'

export const imageType = 'application/vnd.oci.image.manifest.v1+json'

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
}

export interface ImageManifest {
  schemaVersion: 2
  mediaType: string
  artifactType?: string
  config: Descriptor
  layers: Descriptor[]
  subject?: Descriptor
  annotations?: Record<string, string>
}

export const describe = (mediaType: string, bytes: Uint8Array): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length
})

/** The manifest of an image with these blobs. */
export const imageOf = (config: Uint8Array, layers: readonly Uint8Array[]): ImageManifest => ({
  schemaVersion: 2,
  mediaType: imageType,
  config: describe('application/vnd.oci.image.config.v1+json', config),
  layers: layers.map(layer => describe('application/vnd.oci.image.layer.v1.tar+gzip', layer))
})

/** An image's config of this many bytes. */
export function configOf(size: number, author = ''): Buffer {
  const empty = JSON.stringify({ architecture: 'amd64', os: 'linux', author, comment: '' })
  return Buffer.from(empty.replace('""}', `"${'x'.repeat(Math.max(0, size - empty.length))}"}`))
}

/** One of a set of images of a config and two layers of 10 kB, which shares nothing with another. */
export function smallImage(set: string, turn: number): { config: Buffer; layers: Buffer[] } {
  const layers = [0, 1].map(number => {
    const layer = Buffer.alloc(10_000)
    layer.write(`${set} ${turn} ${number}`)
    return layer
  })
  return { config: configOf(1000, `${set} ${turn}`), layers }
}

const pieceBytes = 1 << 20
const repeatedBytes = 16 * pieceBytes

/**
 * A large blob in pieces of 1 MiB at most. It repeats itself after 16 MiB, so that making it costs its sender nothing;
 * another seed gives a blob that shares nothing with it.
 */
export function largePieces(seed: number, size: number): () => Generator<Buffer> {
  const repeated = seededBuffer(seed, Math.min(size, repeatedBytes))
  return function* () {
    for (let at = 0; at < size; at += pieceBytes) {
      const from = at % repeatedBytes
      yield repeated.subarray(from, from + Math.min(pieceBytes, size - at))
    }
  }
}

const largeDigests = new Map<string, string>()

/** The digest of such a blob, computed once. */
export function largeDigest(seed: number, size: number): string {
  const name = `${seed} ${size}`
  const known = largeDigests.get(name)
  if (known !== undefined) return known
  const hash = createHash('sha256')
  for (const piece of largePieces(seed, size)()) hash.update(piece)
  const digest = `sha256:${hash.digest('hex')}`
  largeDigests.set(name, digest)
  return digest
}
