import { type Digest, digestBytes } from '../../src/registry/digest.ts'
import { descriptor, IMAGE, INDEX, imageOf, indexOf, json } from '../support/images.ts'

export const LAYER = Buffer.from('layer')
const image = json(imageOf(LAYER, []))
const other = json(imageOf(LAYER, [], { annotations: { other: 'than image' } }))
const index = json(indexOf([descriptor(image, IMAGE)]))
const signature = json(indexOf([], { subject: descriptor(image, IMAGE) }))

export type ManifestName = 'image' | 'other' | 'index' | 'signature'
export const manifests: Record<ManifestName, { bytes: Buffer; mediaType: string }> = {
  image: { bytes: image, mediaType: IMAGE },
  other: { bytes: other, mediaType: IMAGE },
  index: { bytes: index, mediaType: INDEX },
  signature: { bytes: signature, mediaType: INDEX }
}

/** The digests of all that is ever pushed, by their names. */
export const digests: Record<ManifestName | 'layer', Digest> = {
  layer: digestBytes(LAYER),
  image: digestBytes(image),
  other: digestBytes(other),
  index: digestBytes(index),
  signature: digestBytes(signature)
}
export const manifestNames = Object.keys(manifests) as ManifestName[]
export const nameOf = (digest: Digest): string | undefined =>
  Object.entries(digests).find(([, other]) => other === digest)?.[0]

export const REPOSITORIES = ['a', 'b'] as const
export type Repository = (typeof REPOSITORIES)[number]
export const TAGS = ['v1', 'v2'] as const
export type TagName = (typeof TAGS)[number]
