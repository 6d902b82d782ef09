import { type StorageDriver, StorageError } from '../storage/driver.ts'
import type { Admission, Room } from './admission.ts'
import type { Blobs } from './blobs.ts'
import type { ObjectCache } from './cache.ts'
import { algorithmOf, type Digest, digestBytes, parseDigest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { recordsOf } from './keys.ts'
import { createRecords, type StoredManifest } from './manifest-records.ts'
import { createReferences, type ReferenceRules } from './manifest-references.ts'
import { type Manifest, parseManifest, parsePushedManifest } from './manifest-schema.ts'
import { isIndex } from './media-types.ts'
import type { Reference } from './names.ts'
import { parallel } from './parallel.ts'
import type { Referrers } from './referrers.ts'
import type { Repositories } from './repositories.ts'
import type { Look } from './seen.ts'
import type { Tags } from './tags.ts'

export interface ManifestOptions extends ReferenceRules {
  storage: StorageDriver
  /** For readers; undefined: they ask the store. */
  look: Look | undefined
  blobs: Blobs
  tags: Tags
  referrers: Referrers
  repositories: Repositories
  cache: ObjectCache<StoredManifest>
  graceMs: number
  /** Undefined: repositories may hold any amount. */
  admission: Admission | undefined
}

export interface PushedManifest {
  digest: Digest
  subject: Digest | undefined
  /** What the client should know though the push succeeded. */
  warnings: string[]
}

/** How often a push writes its keys anew because somebody deleted the manifest meanwhile. */
const TRIES = 100
/** The image that a client gets that can't read an index: it is from before there were any. */
const FALLBACK = { architecture: 'amd64', os: 'linux' }

/** Manifests of repositories: their records, and what leads to those. */
export function createManifests(options: ManifestOptions) {
  const { storage, look, blobs, tags, referrers, repositories, cache, graceMs, admission } = options
  const records = createRecords({ storage, cache, graceMs })
  const { relyOnReferences } = createReferences(options, { records, blobs })

  const unknown = (reference: string): RegistryError => new RegistryError('manifest-unknown', { reference })

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
      const trusted = look && (await records.find(name, reference.digest, look))
      const stored = trusted ?? (await records.find(name, reference.digest))
      if (!stored) throw unknown(reference.digest)
      return stored
    }
    const stored = await findTagged(name, reference.tag)
    if (isIndex(stored.mediaType) && !accepts(stored.mediaType)) return (await imageOf(name, stored, accepts)) ?? stored
    return stored
  }

  async function findTagged(name: string, tag: string): Promise<StoredManifest> {
    const trusted = look && (await tags.resolve(name, tag, look))
    const stored = trusted && (await records.find(name, trusted.digest, look))
    if (stored) return stored
    for (let seen: string | undefined; ; ) {
      const value = await tags.resolve(name, tag)
      // A tag whose manifest is gone is no tag, unless it was moved while we looked, be it back to that manifest.
      if (!value || value.key === seen) throw unknown(tag)
      const stored = await records.find(name, value.digest)
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
    return entry && records.find(name, parseDigest(entry.digest))
  }

  /**
   * spec end-7: keeps a manifest and points the tags at it. `contentType` is the request's media type, '' when it had
   * none. Throws `tag-immutable`, `manifest-invalid`, `manifest-blob-unknown`, `digest-mismatch`, `digest-invalid`,
   * `quota-exceeded`.
   */
  async function put(
    name: string,
    reference: Reference,
    bytes: Buffer,
    contentType: string,
    moreTags: readonly string[] = []
  ): Promise<PushedManifest> {
    const pushed = parsePushedManifest(bytes, contentType)
    const digest = digestBytes(bytes, reference.digest && algorithmOf(reference.digest))
    if (reference.digest && reference.digest !== digest) {
      throw new RegistryError('digest-mismatch', { digest: reference.digest, actual: digest })
    }
    const names = reference.tag === undefined ? moreTags : [reference.tag, ...moreTags]
    await tags.checkMoves(name, names, digest)
    const warnings = await relyOnReferences(name, pushed)
    // Someone may delete the manifest while it is pushed: a push that ends well leaves a record behind.
    return inRoom(await admit(name, digest, bytes.length), digest, async () => {
      for (let tries = 1; ; tries++) {
        const manifest = pushed.stated ? pushed : await asKept(name, digest, bytes, pushed)
        const blind = await write(name, digest, manifest, bytes, names)
        if (await isRecorded(name, digest, blind)) return { digest, subject: pushed.subject, warnings }
        if (tries === TRIES)
          throw new StorageError('unavailable', `the records of ${name}@${digest} vanish again and again`)
      }
    })
  }

  /** Throws `quota-exceeded`; a manifest that is there already needs no room. */
  async function admit(name: string, digest: Digest, size: number): Promise<Room | undefined> {
    const room = admission?.room(name)
    if (!room || (await records.inspect(name, digest)).newest) return undefined
    await room.need(size)
    return room
  }

  /**
   * A document that does not state its type keeps the one under which the repository first kept its digest: a later push
   * must not change what a digest, and every tag that names it, is served as.
   */
  async function asKept(name: string, digest: Digest, bytes: Buffer, pushed: Manifest): Promise<Manifest> {
    const { newest } = await records.inspect(name, digest)
    return newest && newest.mediaType !== pushed.mediaType ? parseManifest(bytes, newest.mediaType) : pushed
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
      records.ensure(name, { digest, mediaType: manifest.mediaType, bytes }).then(async key => {
        const referrer = { digest, manifest, size: bytes.length, isNew: key !== undefined }
        if (manifest.subject) await referrers.add(name, manifest.subject, referrer)
        return key
      })
    ])
    await tags.point(name, moves, digest)
    return blind
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

  /** spec end-9. By digest the tags that point at it go as well. Throws `manifest-unknown`. */
  async function remove(name: string, reference: Reference): Promise<void> {
    if (reference.tag !== undefined) return tags.remove(name, reference.tag)
    const { digest } = reference
    const { newest: stored, damaged } = await records.inspect(name, digest)
    if (!stored && !damaged) throw unknown(digest)
    const { subject, artifactType } = stored ? parseManifest(stored.bytes, stored.mediaType) : {}
    // Listed in the reverse of the order they are written in, so that no tag and no referrer goes whose record stays: one
    // written since has a key that is not on this list (docs/storage.md, "Order of writes").
    const naming = await tags.naming(name, digest)
    const referring = subject ? await referrers.keysOf(name, subject, { digest, artifactType }) : []
    const recorded = (await storage.list(recordsOf(name, digest))).map(entry => entry.key)
    await parallel(naming, 8, ([tag, values]) => tags.drop(name, tag, values))
    await storage.delete(referring)
    await storage.delete(recorded)
    await repositories.leaveIfEmpty(name)
  }

  return { get, put, remove }
}

async function inRoom<T>(room: Room | undefined, digest: Digest, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work()
    room?.added('manifest', digest)
    return result
  } finally {
    room?.release()
  }
}

export type Manifests = ReturnType<typeof createManifests>
