import { randomUUID } from 'node:crypto'
import type { ByteRange, StorageDriver } from '../storage/driver.ts'
import type { Admission } from './admission.ts'
import type { ObjectCache } from './cache.ts'
import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { type BlobLink, contentKey, hintKey, linkKey, linksOf, parseLink } from './keys.ts'
import type { RegistryLog } from './log.ts'
import type { Orphans } from './orphans.ts'
import { parallel } from './parallel.ts'
import type { Repositories } from './repositories.ts'
import type { Look } from './seen.ts'

/**
 * Blobs up to this size, in bytes, are read and written whole, and kept in the cache. To look whether their bytes are
 * stored already would cost more than to store them.
 */
export const SMALL = 64 * 1024

/** Repositories looked through for a blob that is asked for without saying where it is; each costs a listing. */
const LOOKED_THROUGH = 256

/** Whether a caller may read a repository. */
type Readable = (repository: string) => boolean | Promise<boolean>

export interface BlobOptions {
  storage: StorageDriver
  /** Undefined: repositories may hold any amount. */
  admission: Admission | undefined
  /** For readers; undefined: they ask the store. */
  look: Look | undefined
  repositories: Repositories
  orphans: Orphans
  cache: ObjectCache<Buffer>
  log: RegistryLog
  graceMs: number
  /** How long a URL of the store is good that a blob's reader is sent to, in ms; undefined: nobody is sent there. */
  redirectExpiryMs?: number | undefined
}

export interface Blob {
  digest: Digest
  /** Bytes. */
  size: number
  /** The bytes, or a part of them. A chunk is valid until the next one is asked for. */
  read(range?: ByteRange): Promise<Buffer | AsyncIterable<Uint8Array>>
  /** Where a reader gets the bytes from the store itself; undefined: only here. */
  url(): Promise<string | undefined>
}

/**
 * Blobs of repositories. A repository holds a blob while it has a link to it, and a link names the content: that some
 * other repository holds the same bytes tells nothing about this one.
 */
export function createBlobs(options: BlobOptions) {
  const { storage, admission, look, repositories, orphans, cache, log, graceMs, redirectExpiryMs } = options
  const lookUp = async (
    name: string,
    digest: Digest,
    list: Look = storage.list
  ): Promise<(BlobLink & { ageMs: number }) | undefined> => {
    const entries = await list(linksOf(name, digest), { ages: true })
    let newest = entries[0]
    for (const entry of entries) if (entry.ageMs! < newest!.ageMs!) newest = entry
    if (!newest) return undefined
    const { key, content, size } = parseLink(newest.key) // to spread it takes longer, and every read comes here
    return { key, content, size, ageMs: newest.ageMs! }
  }

  const unknown = (digest: Digest): RegistryError => new RegistryError('blob-unknown', { digest })

  /** Writes that the repository holds the blob, as the content of this id. This is what commits a blob. */
  async function link(name: string, digest: Digest, content: string, size: number): Promise<void> {
    await storage.put(linkKey(name, digest, content, size), Buffer.alloc(0))
    await repositories.ensure(name)
  }

  /**
   * Looks a blob up for someone who is going to rely on it (docs/storage.md, "Relying"): a link that a collector might
   * pick soon is written anew, so that what is answered here holds for half of the grace. Undefined: not there.
   */
  async function rely(name: string, digest: Digest): Promise<BlobLink | undefined> {
    const found = await lookUp(name, digest)
    if (found && found.ageMs >= graceMs / 2) await link(name, digest, found.content, found.size)
    return found
  }

  /** Bytes of a blob that the repository has; undefined: it is not there. */
  const sizeOf = async (name: string, digest: Digest): Promise<number | undefined> => (await lookUp(name, digest))?.size

  /**
   * Size in bytes. A caller who is going to push takes "present" for a promise (`relying`); nothing is written for any
   * other. Throws `blob-unknown`.
   */
  async function head(name: string, digest: Digest, { relying = true } = {}): Promise<{ size: number }> {
    const found = await lookUp(name, digest, relying ? storage.list : look)
    if (!found) throw unknown(digest)
    if (relying && found.ageMs >= graceMs / 2) {
      // The promise is made good again by the manifest's PUT, so a store that cannot write must not fail a HEAD.
      await link(name, digest, found.content, found.size).catch(error =>
        log.warn({ err: error, repository: name, digest }, 'could not refresh the link of a blob that was asked for')
      )
    }
    return { size: found.size }
  }

  /** A blob to be read. Throws `blob-unknown`. */
  async function get(name: string, digest: Digest): Promise<Blob> {
    const found = await lookUp(name, digest, look)
    if (!found) throw unknown(digest)
    return { digest, size: found.size, read: range => read(name, digest, found, range), url: () => urlOf(found) }
  }

  /** A small blob comes out of the cache faster than a reader follows a redirect. */
  async function urlOf({ content, size }: BlobLink): Promise<string | undefined> {
    if (redirectExpiryMs === undefined || size <= SMALL) return undefined
    return storage.url(contentKey(content), { expiresMs: redirectExpiryMs })
  }

  async function read(
    name: string,
    digest: Digest,
    { content, size }: BlobLink,
    range?: ByteRange
  ): Promise<Buffer | AsyncIterable<Uint8Array>> {
    const key = contentKey(content)
    if (size > SMALL) return (await storage.read(key, range))?.chunks ?? readElsewhere(name, digest, content, range)
    let bytes = cache.get(key)
    if (!bytes) {
      bytes = (await storage.get(key))?.bytes
      if (!bytes) return readElsewhere(name, digest, content, range)
      cache.set(key, bytes, bytes.length)
    }
    return range ? bytes.subarray(range.start, range.end + 1) : bytes
  }

  /** A link whose content is not there: the blob was deleted or pushed again just now, or the store has lost something. */
  async function readElsewhere(name: string, digest: Digest, missing: string, range?: ByteRange) {
    const now = await lookUp(name, digest)
    if (!now) throw unknown(digest)
    if (now.content !== missing) return read(name, digest, now, range)
    throw new RegistryError('internal', {}, { cause: new Error(`content ${missing} of ${name}@${digest} is missing`) })
  }

  /**
   * Content of the same bytes that another upload left, if it is safe to name: a collector may be about to take what
   * has an orphan entry. The hint itself may be stale or torn, so the content is looked at.
   */
  async function shareable(digest: Digest): Promise<{ content: string; size: number } | undefined> {
    const hint = parseHint((await storage.get(hintKey(digest)))?.bytes)
    if (!hint) return undefined
    const [orphaned, stored] = await Promise.all([orphans.has(hint.content), storage.stat(contentKey(hint.content))])
    return !orphaned && stored?.size === hint.size ? hint : undefined
  }

  /** Stores small content under an id that nobody else knows. What is pushed is soon pulled, so it is cached. */
  async function store(bytes: Buffer): Promise<string> {
    const content = randomUUID()
    const key = contentKey(content)
    await storage.put(key, bytes)
    cache.set(key, bytes, bytes.length)
    return content
  }

  /** Links content that was stored just now, and leaves word of where these bytes lie: only a hint, which may get lost. */
  async function publish(name: string, digest: Digest, content: string, size: number): Promise<void> {
    await Promise.all([
      link(name, digest, content, size),
      storage.put(hintKey(digest), Buffer.from(JSON.stringify({ content, size })), { durable: false })
    ])
  }

  /** Takes the hint away if this is the content that it names. */
  async function dropHint(digest: Digest, content: string): Promise<void> {
    const hint = parseHint((await storage.get(hintKey(digest)))?.bytes)
    if (hint?.content === content) await storage.delete([hintKey(digest)], { durable: false })
  }

  /**
   * spec end-11: takes a blob over from another repository, or from wherever the registry has it when `from` is not
   * said. Throws `quota-exceeded`. False: it is not there, or not in a repository that the caller may read, and the client goes on with an upload.
   *
   * @param readable undefined: they may read all
   */
  async function mount(name: string, digest: Digest, from: string | undefined, readable?: Readable): Promise<boolean> {
    if (from !== undefined && readable && !(await readable(from))) return false
    const source = from === undefined ? await find(digest, readable) : await rely(from, digest)
    if (!source) return false
    if (from !== name) await admitLink(name, digest, source)
    return true
  }

  /** Asked only when the source is known to be the caller's to read: a refusal tells that it is there. */
  async function admitLink(name: string, digest: Digest, { content, size }: { content: string; size: number }) {
    const room = admission?.room(name)
    if (!room || (await lookUp(name, digest))) return link(name, digest, content, size)
    try {
      await room.need(size)
      await link(name, digest, content, size)
      room.added('blob', digest)
    } finally {
      room.release()
    }
  }

  /**
   * A blob in whatever repository may be read. For a caller who may not read all of them the hint is not asked: what is
   * looked at, and so the time it takes, must not depend on whether a repository has the blob that they may not read.
   */
  async function find(
    digest: Digest,
    readable: Readable | undefined
  ): Promise<{ content: string; size: number } | undefined> {
    if (!readable) return shareable(digest)
    const { items } = await repositories.list({ n: LOOKED_THROUGH, visible: readable })
    const links = await parallel(items, 16, repository => lookUp(repository, digest))
    const holder = items[links.findIndex(link => link !== undefined)]
    return holder === undefined ? undefined : rely(holder, digest)
  }

  /** spec end-10. Throws `blob-unknown`. The content stays until a collector finds that nothing names it. */
  async function remove(name: string, digest: Digest): Promise<void> {
    const keys = (await storage.list(linksOf(name, digest))).map(entry => entry.key)
    if (keys.length === 0) throw unknown(digest)
    await orphans.unlink(keys)
    await repositories.leaveIfEmpty(name)
  }

  const { has: orphaned, mayLink } = orphans
  return { link, rely, sizeOf, head, get, shareable, store, publish, orphaned, mayLink, dropHint, mount, remove }
}

export type Blobs = ReturnType<typeof createBlobs>

/** Undefined where a hint is torn by a power cut, or not there. */
export function parseHint(bytes: Buffer | undefined): { content: string; size: number } | undefined {
  try {
    const hint = JSON.parse(bytes?.toString() ?? '') as { content?: unknown; size?: unknown }
    if (typeof hint.content === 'string' && typeof hint.size === 'number')
      return { content: hint.content, size: hint.size }
  } catch {}
  return undefined
}
