import type { StorageDriver } from '../storage/driver.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { ObjectCache } from './cache.ts'
import type { Digest } from './digest.ts'
import {
  afterReferrer,
  isOldReferrer,
  parseReferrerKeys,
  parseReferrerSize,
  type ReferrerName,
  referrerKey,
  referrerKeys,
  referrerPlace,
  referrersOf,
  referrersOfType
} from './keys.ts'
import type { Manifest } from './manifest-schema.ts'
import { parallel } from './parallel.ts'

/** Most bytes of a page's descriptors: a manifest may be 4 MiB, and so may this list. */
const PAGE_BYTES = 4 * 1024 * 1024 - 64 * 1024
/** Keys of one listing, and most listings of one request: more than descriptors of a page's size have. */
const LISTED = 1000
const LISTINGS = 32
const READS = 64
/** How often a descriptor is looked for that is written anew all the time. */
const TRIES = 5

export interface ReferrersPage {
  /** Each one the JSON of a descriptor. */
  descriptors: Buffer[]
  /** Where the next page begins; undefined: this was the last. */
  next: string | undefined
}

export interface ReferrersOptions {
  storage: StorageDriver
  cache: ObjectCache<Buffer>
  /** For the pages that are being read, of all requests together. */
  budget: ByteBudget
}

export interface ListReferrers {
  /** Only referrers of this type; undefined: all. */
  artifactType?: string | undefined
  /** The `next` of the page before; undefined: the first page. */
  after?: string | undefined
}

interface Picked {
  keys: string[]
  /** Of the descriptors that they hold. */
  bytes: number
  next: string | undefined
}

/**
 * Which manifests have a subject. One key a referrer, so that those that come at the same time lose nothing. The key tells
 * the artifact type and the size of the descriptor: which of them a page has is decided before any is read.
 */
export function createReferrers({ storage, cache, budget }: ReferrersOptions) {
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
    const referrer = { digest, artifactType: manifest.artifactType }
    const descriptor = descriptorOf(digest, manifest, size)
    const older = isNew ? [] : await keysOf(name, subject, referrer)
    await storage.put(referrerKey(name, subject, referrer, descriptor.length), descriptor)
    await storage.delete(older, { durable: false })
  }

  /** The keys by which a manifest stands under its subject now. */
  async function keysOf(name: string, subject: Digest, referrer: ReferrerName): Promise<string[]> {
    return (await storage.list(referrerKeys(name, subject, referrer))).map(entry => entry.key)
  }

  /**
   * spec end-12: a page of the subject's referrers, in the order of their keys. It has as many as fit into its bytes,
   * with `artifactType` of those that match; only where there are many keys without a descriptor of their own does it
   * end earlier. Throws `digest-invalid` for an `after` that no page had as its `next`.
   */
  async function list(
    name: string,
    subject: Digest,
    { artifactType, after }: ListReferrers = {}
  ): Promise<ReferrersPage> {
    const prefix =
      artifactType === undefined ? referrersOf(name, subject) : referrersOfType(name, subject, artifactType)
    const { keys, bytes, next } = await pick(prefix, after && afterReferrer(name, subject, after))
    if (keys.length === 0) return { descriptors: [], next }
    const descriptors = await budget.hold(bytes, () => parallel(keys, READS, key => readDescriptor(key)))
    return { descriptors: descriptors.filter(descriptor => descriptor !== undefined), next }
  }

  /** The keys of a page. */
  async function pick(prefix: string, start: string | undefined): Promise<Picked> {
    const keys: string[] = []
    let [bytes, after, previous] = [0, start, '']
    for (let listings = 0; listings < LISTINGS; listings++) {
      const entries = await storage.list(prefix, { limit: LISTED, ...(after !== undefined && { after }) })
      for (const { key } of entries) {
        if (isOldReferrer(key)) return { keys, bytes, next: undefined } // they come last
        const referrer = parseReferrerKeys(key)
        if (referrer === previous) continue // pushed more than once
        const size = parseReferrerSize(key) + 1
        if (bytes + size > PAGE_BYTES && keys.length > 0) return { keys, bytes, next: referrerPlace(previous) }
        keys.push(key)
        bytes += size
        previous = referrer
      }
      if (entries.length < LISTED) return { keys, bytes, next: undefined }
      after = entries.at(-1)!.key
    }
    return { keys, bytes, next: referrerPlace(previous) }
  }

  /** Undefined: it was deleted since the listing. */
  async function readDescriptor(listed: string): Promise<Buffer | undefined> {
    let key: string | undefined = listed
    for (let tries = 0; key !== undefined && tries < TRIES; tries++) {
      const cached = cache.get(key)
      if (cached) return cached
      const bytes: Buffer | undefined = (await storage.get(key))?.bytes
      if (bytes) {
        cache.set(key, bytes, bytes.length)
        return bytes
      }
      // Where the manifest was pushed again, another key stands for it now.
      key = (await storage.list(parseReferrerKeys(key), { limit: 1 }))[0]?.key
    }
    return undefined
  }

  return { add, keysOf, list }
}

export type Referrers = ReturnType<typeof createReferrers>

/** What the referrers of its subject tell of a manifest of `size` bytes. */
export function descriptorOf(digest: Digest, { mediaType, artifactType, annotations }: Manifest, size: number): Buffer {
  return Buffer.from(JSON.stringify({ mediaType, digest, size, artifactType, annotations }))
}
