import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Digest } from '../../src/registry/digest.ts'
import { contentKey, linkKey, recordKey } from '../../src/registry/keys.ts'

const REPOSITORIES = 20
/** Layers of one manifest. */
const LAYERS = 50
const TYPE = 'application/vnd.oci.image.manifest.v1+json'
const NOTHING = Buffer.alloc(0)

/**
 * Puts blobs of no bytes into a folder as a registry would have left them a day ago, over some repositories; every
 * second one is named by a manifest. Not one by one through the registry: that would take an hour for a million.
 */
export async function seedBlobs(storage: string, blobs: number): Promise<string> {
  const written = new Date(Date.now() - 24 * 3600e3)
  const folders = new Set<string>()
  const put = (key: string, bytes: Buffer): void => {
    const path = join(storage, key)
    const folder = dirname(path)
    if (!folders.has(folder)) mkdirSync(folder, { recursive: true })
    if (key.startsWith('content/')) folders.add(folder)
    writeFileSync(path, bytes)
    utimesSync(path, written, written)
  }
  let layers: Digest[] = []
  let manifests = 0
  for (let n = 0; n < blobs; n++) {
    const name = `seeded/app${Math.floor(n / 2 / LAYERS) % REPOSITORIES}`
    const [digest, content] = [digestOf(`blob ${n}`), randomUUID()]
    put(contentKey(content), NOTHING)
    put(linkKey(name, digest, content, 0), NOTHING)
    if (n % 2 === 0) layers.push(digest)
    if (layers.length < (n < blobs - 1 ? LAYERS : 1)) continue
    const bytes = manifestOf(layers)
    put(
      recordKey(name, digestOf(bytes), 1, bytes.length),
      Buffer.from(`${JSON.stringify({ mediaType: TYPE })}\n${bytes}`)
    )
    manifests++
    layers = []
  }
  return `${manifests} manifests`
}

const digestOf = (text: string): Digest => `sha256:${createHash('sha256').update(text).digest('hex')}`

function manifestOf(layers: Digest[]): string {
  const descriptors = layers.map(digest => ({ mediaType: 'application/octet-stream', digest, size: 0 }))
  return JSON.stringify({ schemaVersion: 2, mediaType: TYPE, config: descriptors[0], layers: descriptors })
}
