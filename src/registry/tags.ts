import type { StorageDriver } from '../storage/driver.ts'
import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'
import {
  nonce,
  noTagKey,
  parseTagFolder,
  parseTagged,
  parseTagKey,
  type TagKey,
  tagFolder,
  taggedKey,
  taggedOf,
  tagKey,
  tagsOf
} from './keys.ts'
import { parallel } from './parallel.ts'
import type { Page, Repositories } from './repositories.ts'
import type { Look } from './seen.ts'
import { createTagClaims } from './tag-claims.ts'

export interface TagOptions {
  storage: StorageDriver
  repositories: Repositories
  /** The store takes keys that differ in case only for the same key. */
  ignoresCase: boolean
  /** Which tags never name another manifest than the first; undefined: none. */
  immutable: ((name: string, tag: string) => boolean) | undefined
}

/** A tag that is going to name another manifest. */
export interface TagMove {
  tag: string
  /** Of the new value. */
  nonce: string
  /** The values that it replaces, newest first. */
  older: TagKey[]
}

/**
 * Tags. Each value of a tag is a key of its own and the first one counts, so that moving a tag writes nothing over and
 * deleting one never brings an older value back.
 */
export function createTags({ storage, repositories, ignoresCase, immutable }: TagOptions) {
  const claims = createTagClaims(storage)

  /** The values of a tag, newest first. */
  const valuesOf = async (name: string, tag: string): Promise<TagKey[]> =>
    (await storage.list(tagFolder(name, tag))).map(entry => parseTagKey(entry.key))

  /**
   * Where the store takes `V1` for `v1`, the folder of a tag may be another tag's: the reverse of a value has the tag's
   * name as it was written.
   */
  async function isAnother(name: string, tag: string, value: TagKey | undefined): Promise<boolean> {
    if (!ignoresCase || !value) return false
    if ((await storage.list(taggedKey(name, value.digest, tag, value.nonce))).length > 0) return false
    // Values go before their reverses: one that is gone as well was dropped since it was listed.
    return (await storage.stat(value.key)) !== undefined
  }

  /** The value that says what the tag points at; undefined: there is no such tag. */
  async function resolve(name: string, tag: string, list: Look = storage.list): Promise<TagKey | undefined> {
    const [entry] = await list(tagFolder(name, tag), { limit: 1 })
    const first = entry && parseTagKey(entry.key)
    if (!ignoresCase) return first // at once: every GET by tag comes here
    return (await isAnother(name, tag, first)) ? undefined : first
  }

  /** Throws `tag-immutable` where one of these tags may not be moved to this manifest. */
  async function checkMoves(name: string, tags: readonly string[], digest: Digest): Promise<void> {
    await parallel(
      tags.filter(tag => immutable?.(name, tag)),
      8,
      async tag => {
        const value = await resolve(name, tag)
        if (value && value.digest !== digest) throw isImmutable(tag)
      }
    )
  }

  /**
   * Looks what tags are now and leaves word that they are going to name a manifest: whoever deletes it must find every
   * tag that may show it. Others may move them at the same time: one of the values stays. Throws `tag-invalid`.
   */
  async function announce(name: string, tags: readonly string[], digest: Digest): Promise<TagMove[]> {
    return parallel([...new Set(tags)], 8, async tag => {
      const id = nonce()
      const [older] = await Promise.all([
        valuesOf(name, tag),
        storage.put(taggedKey(name, digest, tag, id), Buffer.alloc(0))
      ])
      if (await isAnother(name, tag, older[0])) throw caseClash(tag)
      return { tag, nonce: id, older }
    })
  }

  /**
   * Points the tags at the manifest, once all that belongs to it is there. Throws `tag-immutable` where another push has
   * been faster.
   */
  async function point(name: string, moves: readonly TagMove[], digest: Digest): Promise<void> {
    await parallel(moves, 8, async move => {
      if (immutable?.(name, move.tag)) await pointImmutable(name, move, digest)
      else await pointOne(name, move, digest)
    })
  }

  async function pointImmutable(name: string, move: TagMove, digest: Digest): Promise<void> {
    const { tag, nonce, older } = move
    const pointAt = async (values: TagKey[]): Promise<boolean> => {
      if (values[0] && values[0].digest !== digest) return false
      await pointOne(name, move, digest)
      return true
    }
    const pointed =
      older.length > 0
        ? await pointAt(older)
        : // Another push may have ended since the tag was looked at.
          await claims.hold(name, tag, digest, async () => pointAt(await valuesOf(name, tag)))
    if (pointed) return
    await storage.delete([taggedKey(name, digest, tag, nonce)], { durable: false })
    throw isImmutable(tag)
  }

  async function pointOne(name: string, { tag, nonce, older }: TagMove, digest: Digest): Promise<void> {
    // One more than the highest seen, so that no clock decides what is newer.
    const seq = older.reduce((highest, value) => Math.max(highest, value.seq), 0) + 1
    await storage.put(tagKey(name, tag, seq, nonce, digest), Buffer.alloc(0))
    if (immutable?.(name, tag)) await withdrawIfMoved(name, tag, nonce, digest)
    if (older.length === 0) return
    // The new value hides them, so their order counts only where reverses tell tags apart.
    await storage.delete([...keysOf(older), ...reversesOf(name, tag, older)], { durable: false, ordered: ignoresCase })
  }

  /**
   * Takes the own value back where another has come: whoever was answered 201 before that must not be overruled. It
   * happens only where a claim was lost or its push was held up for longer than claims last.
   */
  async function withdrawIfMoved(name: string, tag: string, nonce: string, digest: Digest): Promise<void> {
    const values = await valuesOf(name, tag)
    if (values.every(value => value.digest === digest)) return
    await drop(
      name,
      tag,
      values.filter(value => value.nonce === nonce)
    )
    throw isImmutable(tag)
  }

  /**
   * Deletes just these values of a tag, oldest first so that none of them shows again, and then their reverses. Where
   * there are none, what a crash left of the tag goes.
   */
  async function drop(name: string, tag: string, values: TagKey[]): Promise<void> {
    if (values.length === 0) return storage.delete([noTagKey(name, tag)], { durable: false })
    await storage.delete(keysOf(values), { ordered: true })
    await storage.delete(reversesOf(name, tag, values), { durable: false })
  }

  /** The values to drop with a manifest, by their tags. A tag that is moved after this stays as it is. */
  async function naming(name: string, digest: Digest): Promise<[tag: string, values: TagKey[]][]> {
    const tagged = await storage.list(taggedOf(name, digest))
    return parallel([...new Set(tagged.map(entry => parseTagged(entry.key)))], 8, async tag => {
      const values = await valuesOf(name, tag)
      // A tag that points at it goes whole: what a crash or a race left below would show again.
      return [tag, values[0]?.digest === digest ? values : values.filter(value => value.digest === digest)]
    })
  }

  /** spec end-9, by tag. Throws `manifest-unknown`. */
  async function remove(name: string, tag: string): Promise<void> {
    const values = await valuesOf(name, tag)
    if (await isAnother(name, tag, values[0])) throw new RegistryError('manifest-unknown', { tag })
    await drop(name, tag, values)
    if (values.length === 0) throw new RegistryError('manifest-unknown', { tag })
  }

  /** spec end-8: a page of at most `n` tags after `last`, in byte order. Throws `name-unknown`. */
  async function list(name: string, { n, last }: { n: number; last?: string }): Promise<Page<string>> {
    const after = last === undefined ? undefined : tagFolder(name, last)
    const entries = await storage.list(tagsOf(name), { folders: true, limit: n + 1, ...(after && { after }) })
    if (entries.length === 0 && !(await repositories.exists(name))) throw new RegistryError('name-unknown', { name })
    return { items: entries.slice(0, n).map(entry => parseTagFolder(entry.key)), more: entries.length > n }
  }

  return { resolve, checkMoves, announce, point, naming, drop, remove, list, forgetClaims: claims.forget }
}

/** Oldest first. */
const keysOf = (values: TagKey[]): string[] => values.map(({ key }) => key).reverse()
const reversesOf = (name: string, tag: string, values: TagKey[]): string[] =>
  values.map(({ digest, nonce }) => taggedKey(name, digest, tag, nonce)).reverse()

const isImmutable = (tag: string): RegistryError => new RegistryError('tag-immutable', { tag })

const caseClash = (tag: string): RegistryError =>
  new RegistryError(
    'tag-invalid',
    { tag },
    { message: 'another tag differs from this one in case only, and the folder this registry is on ignores case' }
  )

export type Tags = ReturnType<typeof createTags>
