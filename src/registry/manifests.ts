import { LRUCache } from 'lru-cache'
import type { StorageDriver } from '../storage/driver.ts'
import type { Blobs } from './blobs.ts'
import { type ObjectCache, REMEMBERED } from './cache.ts'
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

/** The records of a manifest. */
interface Records {
  /** The newest one that can be read; `ageMs` is its age. */
  newest: (StoredManifest & { ageMs: number }) | undefined
  /** The highest place in their sequence. */
  seq: number
  /** A newer one than that can't be read. */
  damaged: boolean
}

const NO_RECORDS: Records = { newest: undefined, seq: 0, damaged: false }

export interface PushedManifest {
  digest: Digest
  subject: Digest | undefined
}

/** Looks up as many blobs or entries of one manifest at a time. */
const WIDTH = 16
/** An answer names no more of the blobs that are missing. */
const TOLD_MISSING = 100
/** The image that a client gets that can't read an index: it is from before there were any. */
const FALLBACK = { architecture: 'amd64', os: 'linux' }

/** Manifests of repositories. What was pushed is kept as a record, byte for byte, and never rewritten. */
export function createManifests(options: ManifestOptions) {
  const { storage, look, blobs, tags, referrers, repositories, cache, graceMs, sparse } = options

  // Where this process has seen or left a record. Of others none is looked for before one is written; the look at the end
  // tells whether there was one.
  const known = new LRUCache<string, true>(REMEMBERED)

  const unknown = (reference: string): RegistryError => new RegistryError('manifest-unknown', { reference })

  async function inspect(name: string, digest: Digest, list: Look = storage.list): Promise<Records> {
    const records = { ...NO_RECORDS }
    for (const { key, ageMs = 0 } of await list(recordsOf(name, digest), { ages: true })) {
      records.seq ||= parseRecordSeq(key)
      let stored = cache.get(key)
      if (!stored) {
        const bytes = (await storage.get(key))?.bytes
        if (!bytes) continue // deleted since the listing
        stored = readRecord(digest, bytes)
        if (stored) cache.set(key, stored, bytes.length)
        else records.damaged = true
      }
      if (!stored) continue
      records.newest = { ...stored, ageMs }
      known.set(recordsOf(name, digest), true)
      break
    }
    return records
  }

  /** The newest record of a manifest. Throws `internal` when there are only damaged ones. */
  async function find(name: string, digest: Digest, list?: Look): Promise<StoredManifest | undefined> {
    const { newest, damaged } = await inspect(name, digest, list)
    if (!newest && damaged) {
      throw new RegistryError('internal', {}, { cause: new Error(`the manifest ${name}@${digest} is damaged`) })
    }
    return newest
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
   * none. Throws `tag-immutable`, `manifest-invalid`, `manifest-blob-unknown`, `digest-mismatch`, `digest-invalid`.
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
    await tags.checkMoves(name, names, digest)
    await relyOnReferences(name, manifest)
    // Someone may delete the manifest while it is pushed: a push that ends well leaves a record behind.
    let blind: string | undefined
    do blind = await write(name, digest, manifest, bytes, names)
    while (!(await isRecorded(name, digest, blind)))
    return { digest, subject: manifest.subject }
  }

  /**
   * The tags' values come last: by then there is all that whoever deletes the manifest has to find. Returns the key of a
   * record that was written blindly.
   */
  async function write(
    name: string,
    digest: Digest,
    manifest: Manifest,
    bytes: Buffer,
    tagNames: readonly string[]
  ): Promise<string | undefined> {
    const [moves, blind] = await Promise.all([
      tags.announce(name, tagNames, digest),
      ensureRecord(name, { digest, mediaType: manifest.mediaType, bytes }).then(async key => {
        if (manifest.subject) await referrers.add(name, manifest.subject, digest, manifest, bytes.length)
        return key
      })
    ])
    await tags.point(name, moves, digest)
    return blind
  }

  /** Where this process knows of no record none is looked for: then the key of the new one. */
  async function ensureRecord(name: string, manifest: StoredManifest): Promise<string | undefined> {
    if (!known.has(recordsOf(name, manifest.digest))) return writeRecord(name, manifest, NO_RECORDS)
    const records = await inspect(name, manifest.digest)
    const reliable = isReliable(records) && records.newest?.mediaType === manifest.mediaType
    if (!reliable) await writeRecord(name, manifest, records)
    return undefined
  }

  /**
   * Whether a record is there, and none before the one that was written blindly. The repository is in the catalog after
   * it: whoever leaves it empty looks again.
   */
  async function isRecorded(name: string, digest: Digest, blind: string | undefined): Promise<boolean> {
    const [[first]] = await Promise.all([
      storage.list(recordsOf(name, digest), { limit: 1 }),
      repositories.ensure(name, { always: true })
    ])
    return first !== undefined && (blind === undefined || first.key === blind)
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
    if (missing.length > 0) throw new RegistryError('manifest-blob-unknown', missing.slice(0, TOLD_MISSING))
  }

  /** The size of what a reference names, in bytes; undefined: it isn't there. */
  async function relyOn(name: string, { digest, kind }: ManifestReference): Promise<number | undefined> {
    if (kind === 'entry') {
      const records = await inspect(name, digest)
      const child = records.newest
      if (child) {
        if (!isReliable(records)) await writeRecord(name, child, records)
        return child.bytes.length
      }
    }
    return (await blobs.rely(name, digest))?.size
  }

  /** Not so where a damaged one comes first: in time a collector takes all but the first. */
  const isReliable = ({ newest, damaged }: Records): boolean =>
    newest !== undefined && newest.ageMs < graceMs / 2 && !damaged

  /**
   * @param before those so far
   * @returns its key
   */
  async function writeRecord(
    name: string,
    { digest, mediaType, bytes }: StoredManifest,
    before: Records
  ): Promise<string> {
    const header = `${JSON.stringify({ mediaType })}\n`
    const key = recordKey(name, digest, before.seq + 1)
    await storage.put(key, Buffer.concat([Buffer.from(header), bytes]))
    cache.set(key, { digest, mediaType, bytes }, bytes.length)
    known.set(recordsOf(name, digest), true)
    return key
  }

  /** spec end-9. By digest the tags that point at it go as well. Throws `manifest-unknown`. */
  async function remove(name: string, reference: Reference): Promise<void> {
    if (reference.tag !== undefined) return tags.remove(name, reference.tag)
    const { digest } = reference
    const { newest: stored, damaged } = await inspect(name, digest)
    if (!stored && !damaged) throw unknown(digest)
    const subject = stored && parseManifest(stored.bytes, stored.mediaType).subject
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

/**
 * A record is one line of JSON, which tells the media type, and then the bytes that were pushed. Undefined for any other,
 * and where the bytes are not those of the digest: the store has damaged it.
 */
export function readRecord(digest: Digest, record: Buffer): StoredManifest | undefined {
  const end = record.indexOf(10)
  const bytes = record.subarray(end + 1)
  if (digestBytes(bytes, algorithmOf(digest)) !== digest) return undefined
  const mediaType = parseMediaType(record.toString('utf8', 0, Math.max(end, 0)))
  return mediaType === undefined ? undefined : { digest, mediaType, bytes }
}

function parseMediaType(header: string): string | undefined {
  try {
    const { mediaType } = JSON.parse(header) as { mediaType?: unknown }
    return typeof mediaType === 'string' ? mediaType : undefined
  } catch {
    return undefined
  }
}
