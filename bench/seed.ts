import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Digest, digestBytes } from '../src/registry/digest.ts'
import { catalogKey, contentKey, hintKey, linkKey, nonce, recordKey, taggedKey, tagKey } from '../src/registry/keys.ts'
import { imageOf } from './content.ts'

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
    put(folder, catalogKey(repository), nothing)
    for (let image = 0; image < imagesEach; image++) seedImage(folder, repository, `v${image}`)
  }
}

function seedImage(folder: string, repository: string, tag: string): void {
  const config = Buffer.from(`{"author":"${repository}:${tag}"}`)
  const layer = Buffer.from(`layer of ${repository}:${tag}`)
  for (const blob of [config, layer]) {
    const id = `${nonce()}${nonce()}`
    const digest = digestBytes(blob)
    put(folder, contentKey(id), blob)
    put(folder, linkKey(repository, digest, id, blob.length), nothing)
    put(folder, hintKey(digest), Buffer.from(JSON.stringify({ content: id, size: blob.length })))
  }
  const manifest = imageOf(config, [layer])
  const bytes = Buffer.from(JSON.stringify(manifest))
  const header = Buffer.from(`${JSON.stringify({ mediaType: manifest.mediaType })}\n`)
  put(folder, recordKey(repository, digestBytes(bytes), 1), Buffer.concat([header, bytes]))
  seedTag(folder, repository, tag, digestBytes(bytes))
}
