import type { StorageDriver } from '../storage/driver.ts'
import type { Blobs } from './blobs.ts'
import type { ObjectCache } from './cache.ts'
import { algorithmOf, type Digest, digestBytes, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { parseRecordSeq, recordKey, recordsOf } from './keys.ts'
import { type Manifest, type ManifestReference, parseManifest } from './manifest-schema.ts'
import { isIndex } from './media-types.ts'
import type { Reference } from './names.ts'
import { parallel } from './parallel.ts'
import type { Referrers } from './referrers.ts'
import type { Repositories } from './repositories.ts'
import type { Look } from './seen.ts'
import type { Tags } from './tags.ts'

/** Which references of a manifest may be missing: those of an index, none, or any. */
export type Sparse = 'index' | 'none' | 'all'

export interface ManifestOptions {
  storage: StorageDriver
  /** For readers; undefined: they ask the store. */
  look: Look | undefined
  blobs: Blobs
  tags: Tags
  referrers: Referrers
  repositories: Repositories
  cache: ObjectCache<StoredManifest>
  graceMs: number
  sparse: Sparse
}

export interface StoredManifest {
  digest: Digest
  /** As it was pushed. */
  mediaType: string
  /** The exact bytes that were pushed. */
  bytes: Buffer
}

/** A record, its age in ms, and its place in the sequence of the manifest's records. */
interface Found extends StoredManifest {
  ageMs: number
  seq: number
}

export interface PushedManifest {
  digest: Digest
  subject: Digest | undefined
}

/** Looks up as many blobs or entries of one manifest at a time. */
const WIDTH = 16
/** The image that a client gets that can't read an index: it is from before there were any. */
const FALLBACK = { architecture: 'amd64', os: 'linux' }

/** Manifests of repositories. What was pushed is kept as a record, byte for byte, and never rewritten. */
export function createManifests(options: ManifestOptions) {
  const { storage, look, blobs, tags, referrers, repositories, cache, graceMs, sparse } = options

  const unknown = (reference: string): RegistryError => new RegistryError('manifest-unknown', { reference })

  /** The newest record of a manifest. */
  async function find(name: string, digest: Digest, list: Look = storage.list): Promise<Found | undefined> {
    for (const { key, ageMs = 0 } of await list(recordsOf(name, digest), { ages: true })) {
      let stored = cache.get(key)
      if (!stored) {
        const bytes = (await storage.get(key))?.bytes
        if (!bytes) continue // deleted since the listing
        stored = readRecord(digest, bytes)
        cache.set(key, stored, bytes.length)
      }
      return { ...stored, ageMs, seq: parseRecordSeq(key) }
    }
    return undefined
  }

  /**
   * spec end-3. `accepts` tells whether the client reads a media type: where it doesn't read the index that a tag names
   * but does read images, it gets the image for linux/amd64. Throws `manifest-unknown`.
   */
  async function get(
    name: string,
    reference: Reference,
    accepts: (mediaType: string) => boolean
  ): Promise<StoredManifest> {
    if (reference.digest) {
      const trusted = look && (await find(name, reference.digest, look))
      const stored = trusted ?? (await find(name, reference.digest))
      if (!stored) throw unknown(reference.digest)
      return stored
    }
    const stored = await findTagged(name, reference.tag)
    if (isIndex(stored.mediaType) && !accepts(stored.mediaType)) return (await imageOf(name, stored, accepts)) ?? stored
    return stored
  }

  async function findTagged(name: string, tag: string): Promise<StoredManifest> {
    const trusted = look && (await tags.resolve(name, tag, look))
    const stored = trusted && (await find(name, trusted.digest, look))
    if (stored) return stored
    for (let seen: string | undefined; ; ) {
      const value = await tags.resolve(name, tag)
      // A tag whose manifest is gone is no tag, unless it was moved while we looked, be it back to that manifest.
      if (!value || value.key === seen) throw unknown(tag)
      const stored = await find(name, value.digest)
      if (stored) return stored
      seen = value.key
    }
  }

  async function imageOf(
    name: string,
    index: StoredManifest,
    accepts: (mediaType: string) => boolean
  ): Promise<StoredManifest | undefined> {
    const entry = parseManifest(index.bytes, index.mediaType).entries.find(
      ({ platform, mediaType }) =>
        platform?.architecture === FALLBACK.architecture && platform.os === FALLBACK.os && accepts(mediaType)
    )
    return entry && find(name, parseDigest(entry.digest))
  }

  /**
   * spec end-7: keeps a manifest and points the tags at it. `contentType` is the request's media type, '' when it had
   * none. Throws `manifest-invalid`, `manifest-blob-unknown`, `digest-mismatch`, `digest-invalid`.
   */
  async function put(
    name: string,
    reference: Reference,
    bytes: Buffer,
    contentType: string,
    moreTags: readonly string[] = []
  ): Promise<PushedManifest> {
    const manifest = parseManifest(bytes, contentType)
    const digest = digestBytes(bytes, reference.digest && algorithmOf(reference.digest))
    if (reference.digest && reference.digest !== digest) {
      throw new RegistryError('digest-mismatch', { digest: reference.digest, actual: digest })
    }
    const names = reference.tag === undefined ? moreTags : [reference.tag, ...moreTags]
    await relyOnReferences(name, manifest)
    // Someone may delete the manifest while it is pushed: a push that ends well leaves a record behind.
    do await write(name, digest, manifest, bytes, names)
    while ((await storage.list(recordsOf(name, digest), { limit: 1 })).length === 0)
    await repositories.ensure(name, { always: true })
    return { digest, subject: manifest.subject }
  }

  async function write(
    name: string,
    digest: Digest,
    manifest: Manifest,
    bytes: Buffer,
    names: readonly string[]
  ): Promise<void> {
    const record = await find(name, digest)
    const reliable = record?.mediaType === manifest.mediaType && record.ageMs < graceMs / 2
    if (!reliable) await writeRecord(name, { digest, mediaType: manifest.mediaType, bytes }, record)
    if (manifest.subject) await referrers.add(name, manifest.subject, digest, manifest, bytes.length)
    await tags.point(name, names, digest)
  }

  /**
   * All that the manifest names is there and stays there (docs/storage.md, "Relying"). Throws `manifest-blob-unknown`
   * with an entry for each that is missing, and `manifest-invalid` where a size contradicts what is stored.
   */
  async function relyOnReferences(name: string, manifest: Manifest): Promise<void> {
    const sizes = await parallel(manifest.references, WIDTH, reference => relyOn(name, reference))
    const missing: { digest: Digest }[] = []
    for (const [index, { digest, size, required, kind }] of manifest.references.entries()) {
      const stored = sizes[index]
      const mayMiss = !required || sparse === 'all' || (sparse === 'index' && kind === 'entry')
      if (stored === undefined && !mayMiss) missing.push({ digest })
      if (stored !== undefined && stored !== size && required) {
        throw new RegistryError(
          'manifest-invalid',
          { digest, size, stored },
          { message: 'a descriptor tells another size than the registry holds' }
        )
      }
    }
    if (missing.length > 0) throw new RegistryError('manifest-blob-unknown', missing)
  }

  /** The size of what a reference names, in bytes; undefined: it isn't there. */
  async function relyOn(name: string, { digest, kind }: ManifestReference): Promise<number | undefined> {
    if (kind === 'entry') {
      const child = await find(name, digest)
      if (child) {
        if (child.ageMs >= graceMs / 2) await writeRecord(name, child, child)
        return child.bytes.length
      }
    }
    return (await blobs.rely(name, digest))?.size
  }

  /** @param before the newest one so far */
  async function writeRecord(
    name: string,
    { digest, mediaType, bytes }: StoredManifest,
    before: Found | undefined
  ): Promise<void> {
    const header = `${JSON.stringify({ mediaType })}\n`
    const key = recordKey(name, digest, (before?.seq ?? 0) + 1)
    await storage.put(key, Buffer.concat([Buffer.from(header), bytes]), { ifAbsent: true })
  }

  /** spec end-9. By digest the tags that point at it go as well. Throws `manifest-unknown`. */
  async function remove(name: string, reference: Reference): Promise<void> {
    if (reference.tag !== undefined) return tags.remove(name, reference.tag)
    const { digest } = reference
    const stored = await find(name, digest)
    if (!stored) throw unknown(digest)
    const { subject } = parseManifest(stored.bytes, stored.mediaType)
    // Listed in the reverse of the order they are written in, so that no tag and no referrer goes whose record stays: one
    // written since has a key that is not on this list (docs/storage.md, "Order of writes").
    const naming = await tags.naming(name, digest)
    const referring = subject ? await referrers.keysOf(name, subject, digest) : []
    const records = (await storage.list(recordsOf(name, digest))).map(entry => entry.key)
    await parallel(naming, 8, ([tag, values]) => tags.drop(name, tag, values))
    await storage.delete(referring)
    await storage.delete(records)
    await repositories.leaveIfEmpty(name)
  }

  return { get, put, remove }
}

export type Manifests = ReturnType<typeof createManifests>

/** A record is one line of JSON, which tells the media type, and then the bytes that were pushed. Throws on any other. */
export function readRecord(digest: Digest, record: Buffer): StoredManifest {
  const end = record.indexOf(10)
  const { mediaType } = JSON.parse(record.toString('utf8', 0, end)) as { mediaType: string }
  return { digest, mediaType, bytes: record.subarray(end + 1) }
}
