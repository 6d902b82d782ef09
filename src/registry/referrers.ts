import type { StorageDriver } from '../storage/driver.ts'
import type { ObjectCache } from './cache.ts'
import type { Digest } from './digest.ts'
import { parseReferrer, referrerKey, referrerKeys, referrersOf } from './keys.ts'
import type { Manifest } from './manifest-schema.ts'
import { parallel } from './parallel.ts'

/** Most referrers of a page, and most bytes of their descriptors: a manifest may be 4 MiB, and so may this list. */
const PAGE = 1000
const PAGE_BYTES = 4 * 1024 * 1024 - 64 * 1024
const READS = 64

export interface ReferrersPage {
  /** Each one the JSON of a descriptor. */
  descriptors: Buffer[]
  /** Where the next page begins; undefined: this was the last. */
  next?: string
}

/** Which manifests have a subject. One key a referrer, so that those that come at the same time lose nothing. */
export function createReferrers({ storage, cache }: { storage: StorageDriver; cache: ObjectCache<Buffer> }) {
  /**
   * Enters a manifest under its subject (spec, "Pushing Manifests with Subject"). The key is always a new one, since a
   * deletion may have listed those that are there; it stands for them from now on.
   *
   * @param isNew nothing is known of an earlier push: to look for its keys would read those of all other referrers, and
   *   a collector takes them
   */
  async function add(
    name: string,
    subject: Digest,
    { digest, manifest, size, isNew = false }: { digest: Digest; manifest: Manifest; size: number; isNew?: boolean }
  ): Promise<void> {
    const older = isNew ? [] : await keysOf(name, subject, digest)
    await storage.put(referrerKey(name, subject, digest), descriptorOf(digest, manifest, size))
    await storage.delete(older, { durable: false })
  }

  /** The keys by which a manifest stands under its subject now. */
  async function keysOf(name: string, subject: Digest, digest: Digest): Promise<string[]> {
    return (await storage.list(referrerKeys(name, subject, digest))).map(entry => entry.key)
  }

  /**
   * spec end-12: a page of the subject's referrers, in the order of their digests, after the one that `after` names.
   * With `artifactType` a page may be shorter than it could be: what was left out was read as well.
   */
  async function list(
    name: string,
    subject: Digest,
    { artifactType, after }: { artifactType?: string | undefined; after?: Digest | undefined } = {}
  ): Promise<ReferrersPage> {
    const prefix = referrersOf(name, subject)
    // `~` sorts after every nonce: the page begins behind all keys of that digest.
    const start = after && `${referrerKeys(name, subject, after)}~`
    const entries = await storage.list(prefix, { limit: PAGE + 1, ...(start && { after: start }) })
    const keys = entries.slice(0, PAGE).map(entry => entry.key)
    const descriptors: Buffer[] = []
    let bytes = 0
    let previous: Digest | undefined
    for (let at = 0; at < keys.length; at += READS) {
      const batch = keys.slice(at, at + READS)
      const read = await parallel(batch, READS, key => readDescriptor(name, subject, key))
      for (const [index, descriptor] of read.entries()) {
        const digest = parseReferrer(batch[index]!)
        if (bytes + descriptor.length > PAGE_BYTES && descriptors.length > 0) return { descriptors, next: previous! }
        const repeated = digest === previous // pushed more than once
        previous = digest
        if (repeated || descriptor.length === 0 || !matches(descriptor, artifactType)) continue
        descriptors.push(descriptor)
        bytes += descriptor.length + 1
      }
    }
    return { descriptors, ...(entries.length > PAGE && previous && { next: previous }) }
  }

  /** An empty buffer: it was deleted since the listing. */
  async function readDescriptor(name: string, subject: Digest, key: string): Promise<Buffer> {
    const cached = cache.get(key)
    if (cached) return cached
    const bytes = (await storage.get(key))?.bytes
    if (!bytes) {
      // Where the manifest was pushed again, another key stands for it now.
      const [other] = await keysOf(name, subject, parseReferrer(key))
      return other === undefined ? Buffer.alloc(0) : readDescriptor(name, subject, other)
    }
    cache.set(key, bytes, bytes.length)
    return bytes
  }

  return { add, keysOf, list }
}

export type Referrers = ReturnType<typeof createReferrers>

/** What the referrers of its subject tell of a manifest of `size` bytes. */
export function descriptorOf(digest: Digest, { mediaType, artifactType, annotations }: Manifest, size: number): Buffer {
  return Buffer.from(JSON.stringify({ mediaType, digest, size, artifactType, annotations }))
}

function matches(descriptor: Buffer, artifactType: string | undefined): boolean {
  if (artifactType === undefined) return true
  return (JSON.parse(descriptor.toString()) as { artifactType?: string }).artifactType === artifactType
}
