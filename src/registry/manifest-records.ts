import { LRUCache } from 'lru-cache'
import type { StorageDriver } from '../storage/driver.ts'
import { type ObjectCache, REMEMBERED } from './cache.ts'
import { algorithmOf, type Digest, digestBytes } from './digest.ts'
import { RegistryError } from './errors.ts'
import { parseRecordSeq, recordKey, recordsOf } from './keys.ts'
import type { Look } from './seen.ts'

export interface RecordOptions {
  storage: StorageDriver
  cache: ObjectCache<StoredManifest>
  graceMs: number
}

export interface StoredManifest {
  digest: Digest
  /** As it was pushed. */
  mediaType: string
  /** The exact bytes that were pushed. */
  bytes: Buffer
}

/** The records of a manifest. */
interface Found {
  /** The key of the newest. */
  first: string | undefined
  /** What the newest one that can be read holds. */
  newest: StoredManifest | undefined
  /** Of that one, where it was asked for. */
  ageMs: number
  /** A newer one than that can't be read. */
  damaged: boolean
}

const NO_RECORDS: Found = { first: undefined, newest: undefined, ageMs: 0, damaged: false }

/** The records that a manifest is kept in: what was pushed, byte for byte, and never rewritten. */
export function createRecords({ storage, cache, graceMs }: RecordOptions) {
  // Where this process has seen or left a record. Of others none is looked for before one is written; the look at the end
  // tells whether there was one.
  const known = new LRUCache<string, true>(REMEMBERED)

  const withAges: Look = prefix => storage.list(prefix, { ages: true })

  /** @param list asks for ages, unless another is given */
  async function inspect(name: string, digest: Digest, list = withAges): Promise<Found> {
    const prefix = recordsOf(name, digest)
    let first: string | undefined
    let damaged = false
    for (const { key, ageMs = 0 } of await list(prefix, {})) {
      first ??= key
      let stored = cache.get(key)
      if (!stored) {
        const bytes = (await storage.get(key))?.bytes
        if (!bytes) continue // deleted since the listing
        stored = readRecord(digest, bytes)
        if (stored) cache.set(key, stored, bytes.length)
        else damaged = true
      }
      if (!stored) continue
      known.set(prefix, true)
      return { first, newest: stored, ageMs, damaged }
    }
    return { ...NO_RECORDS, first, damaged }
  }

  /** The newest record of a manifest. Throws `internal` when there are only damaged ones. */
  async function find(name: string, digest: Digest, list: Look = storage.list): Promise<StoredManifest | undefined> {
    const { newest, damaged } = await inspect(name, digest, list)
    if (!newest && damaged) {
      throw new RegistryError('internal', {}, { cause: new Error(`the manifest ${name}@${digest} is damaged`) })
    }
    return newest
  }

  /**
   * Leaves a young record. Where this process knows of no record none is looked for: then the key of the new one is
   * returned.
   */
  async function ensure(name: string, manifest: StoredManifest): Promise<string | undefined> {
    if (!known.has(recordsOf(name, manifest.digest))) return write(name, manifest, NO_RECORDS)
    const records = await inspect(name, manifest.digest)
    const reliable = isReliable(records) && records.newest?.mediaType === manifest.mediaType
    if (!reliable) await write(name, manifest, records)
    return undefined
  }

  /** The size in bytes of a manifest that is going to be relied on; undefined: it isn't there. */
  async function rely(name: string, digest: Digest): Promise<number | undefined> {
    const records = await inspect(name, digest)
    const { newest } = records
    if (newest && !isReliable(records)) await write(name, newest, records)
    return newest?.bytes.length
  }

  /** Not so where a damaged one comes first: in time a collector takes all but the first. */
  const isReliable = ({ newest, ageMs, damaged }: Found): boolean =>
    newest !== undefined && ageMs < graceMs / 2 && !damaged

  /**
   * @param before those so far
   * @returns its key
   */
  async function write(name: string, manifest: StoredManifest, before: Found): Promise<string> {
    const { digest, mediaType, bytes } = manifest
    const header = `${JSON.stringify({ mediaType })}\n`
    const seq = before.first === undefined ? 1 : parseRecordSeq(before.first) + 1
    const key = recordKey(name, digest, seq, bytes.length)
    await storage.put(key, Buffer.concat([Buffer.from(header), bytes]))
    cache.set(key, manifest, bytes.length)
    known.set(recordsOf(name, digest), true)
    return key
  }

  return { inspect, find, ensure, rely }
}

export type Records = ReturnType<typeof createRecords>

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
