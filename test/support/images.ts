import { createHash, randomBytes } from 'node:crypto'
import type { Algorithm } from '../../src/registry/digest.ts'

export const IMAGE = 'application/vnd.oci.image.manifest.v1+json'
export const INDEX = 'application/vnd.oci.image.index.v1+json'
export const ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json'
export const DOCKER_IMAGE = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const SCHEMA1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
export const CONFIG = 'application/vnd.oci.image.config.v1+json'
export const LAYER = 'application/vnd.oci.image.layer.v1.tar'
export const EMPTY_JSON = 'application/vnd.oci.empty.v1+json'

export const NOTHING: Buffer = Buffer.alloc(0)
export const ALGORITHMS: readonly Algorithm[] = ['sha256', 'sha512']

export const random = (size: number): Buffer => randomBytes(size)

export const digestOf = (bytes: Uint8Array, algorithm: Algorithm = 'sha256'): string =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`

/** A digest that nothing has. */
export const absent = (algorithm: Algorithm = 'sha256'): string => digestOf(random(16), algorithm)

export const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

export interface DescriptorOf {
  mediaType: string
  digest: string
  size: number
  [more: string]: unknown
}

export const descriptor = (bytes: Uint8Array, mediaType: string, more: object = {}): DescriptorOf => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
  ...more
})

export const imageOf = (config: Buffer, layers: readonly Buffer[], more: object = {}) => ({
  schemaVersion: 2,
  mediaType: IMAGE,
  config: descriptor(config, CONFIG),
  layers: layers.map(layer => descriptor(layer, LAYER)),
  ...more
})

export const indexOf = (manifests: readonly DescriptorOf[], more: object = {}) => ({
  schemaVersion: 2,
  mediaType: INDEX,
  manifests,
  ...more
})
