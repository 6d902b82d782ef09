import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Digest, digestBytes, parseDigest } from '../src/registry/digest.ts'
import {
  catalogKey,
  contentKey,
  hintKey,
  linkKey,
  nonce,
  recordKey,
  referrerKey,
  taggedKey,
  tagKey
} from '../src/registry/keys.ts'
import { parseManifest } from '../src/registry/manifest-schema.ts'
import { descriptorOf } from '../src/registry/referrers.ts'
import { describe, type ImageManifest, imageOf, imageType } from './content.ts'

const nothing = Buffer.alloc(0)

/** Writes a key as the filesystem driver keeps it, but durable only when the system gets to it. */
function put(folder: string, key: string, bytes: Uint8Array): void {
  const path = join(folder, key)
  try {
    writeFileSync(path, bytes)
  } catch {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
}

/** Adds tags of a manifest that the repository holds already. */
export function seedTags(folder: string, repository: string, manifest: Digest, count: number): void {
  for (let number = 0; number < count; number++) seedTag(folder, repository, `t-${number}`, manifest)
}

function seedTag(folder: string, repository: string, tag: string, manifest: Digest): void {
  const id = nonce()
  put(folder, taggedKey(repository, manifest, tag, id), nothing)
  put(folder, tagKey(repository, tag, 1, id, manifest), nothing)
}

/** Fills a folder with at least this many files: repositories of 10 small tagged images each. */
export function seedRegistry(folder: string, files: number): void {
  const imagesEach = 10
  const filesEach = imagesEach * 9 + 1
  for (let number = 0; number * filesEach < files; number++) {
    const repository = `seeded/${number % 100}/${number}`
    for (let image = 0; image < imagesEach; image++) seedImage(folder, repository, `v${image}`)
  }
}

/** The image that is seeded under this name. */
export function seededImage(repository: string, tag: string) {
  const config = Buffer.from(`{"author":"${repository}:${tag}"}`)
  const layer = Buffer.from(`layer of ${repository}:${tag}`)
  return { config, layer, manifest: imageOf(config, [layer]) }
}

/** A small image, tagged. Returns the digest of its manifest. */
export function seedImage(folder: string, repository: string, tag: string): Digest {
  const { config, layer, manifest } = seededImage(repository, tag)
  for (const blob of [config, layer]) {
    const id = `${nonce()}${nonce()}`
    const digest = digestBytes(blob)
    put(folder, contentKey(id), blob)
    put(folder, linkKey(repository, digest, id, blob.length), nothing)
    put(folder, hintKey(digest), Buffer.from(JSON.stringify({ content: id, size: blob.length })))
  }
  put(folder, catalogKey(repository), nothing)
  const { digest } = seedManifest(folder, repository, manifest)
  seedTag(folder, repository, tag, digest)
  return digest
}

function seedManifest(folder: string, repository: string, manifest: ImageManifest): { digest: Digest; bytes: Buffer } {
  const bytes = Buffer.from(JSON.stringify(manifest))
  const digest = digestBytes(bytes)
  const header = Buffer.from(`${JSON.stringify({ mediaType: manifest.mediaType })}\n`)
  put(folder, recordKey(repository, digest, 1, bytes.length), Buffer.concat([header, bytes]))
  return { digest, bytes }
}

/** Manifests that refer to one that the repository holds already. */
export function seedReferrers(folder: string, repository: string, to: ImageManifest, count: number): void {
  const subject = describe(imageType, Buffer.from(JSON.stringify(to)))
  for (let number = 0; number < count; number++) {
    const annotations = { number: String(number) }
    const manifest = { ...to, artifactType: 'application/vnd.example.sbom', subject, annotations }
    const { digest, bytes } = seedManifest(folder, repository, manifest)
    const descriptor = descriptorOf(digest, parseManifest(bytes, ''), bytes.length)
    const referrer = { digest, artifactType: manifest.artifactType }
    put(folder, referrerKey(repository, parseDigest(subject.digest), referrer, descriptor.length), descriptor)
  }
}
