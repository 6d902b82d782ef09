import type { StorageDriver } from '../storage/driver.ts'
import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'
import {
  nonce,
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

export interface TagOptions {
  storage: StorageDriver
  repositories: Repositories
  /** The store takes keys that differ in case only for the same key. */
  ignoresCase: boolean
}

/**
 * Tags. Each value of a tag is a key of its own and the first one counts, so that moving a tag writes nothing over and
 * deleting one never brings an older value back.
 */
export function createTags({ storage, repositories, ignoresCase }: TagOptions) {
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
    return (await isAnother(name, tag, first)) ? undefined : first
  }

  /** Points tags at a manifest. Others may move them at the same time: one of the values stays. */
  async function point(name: string, tags: readonly string[], digest: Digest): Promise<void> {
    await parallel([...new Set(tags)], 8, async tag => {
      const older = await valuesOf(name, tag)
      if (await isAnother(name, tag, older[0])) throw caseClash(tag)
      // One more than the highest seen, so that no clock decides what is newer.
      const seq = older.reduce((highest, value) => Math.max(highest, value.seq), 0) + 1
      const id = nonce()
      // The reverse comes first: whoever deletes the manifest must find every tag that may show it.
      await storage.put(taggedKey(name, digest, tag, id), Buffer.alloc(0), { ifAbsent: true })
      await storage.put(tagKey(name, tag, seq, id, digest), Buffer.alloc(0), { ifAbsent: true })
      await drop(name, tag, older, { durable: false })
    })
  }

  /** Deletes just these values of a tag, oldest first so that none of them shows again, and then their reverses. */
  async function drop(name: string, tag: string, values: TagKey[], options?: { durable: false }): Promise<void> {
    if (values.length === 0) return
    const oldestFirst = values.toReversed()
    await storage.delete(
      oldestFirst.map(value => value.key),
      { ...options, ordered: true }
    )
    await storage.delete(
      oldestFirst.map(value => taggedKey(name, value.digest, tag, value.nonce)),
      { durable: false }
    )
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
    if (values.length === 0 || (await isAnother(name, tag, values[0]))) {
      throw new RegistryError('manifest-unknown', { tag })
    }
    await drop(name, tag, values)
  }

  /** spec end-8: a page of at most `n` tags after `last`, in byte order. Throws `name-unknown`. */
  async function list(name: string, { n, last }: { n: number; last?: string }): Promise<Page<string>> {
    const after = last === undefined ? undefined : tagFolder(name, last)
    const entries = await storage.list(tagsOf(name), { folders: true, limit: n + 1, ...(after && { after }) })
    if (entries.length === 0 && !(await repositories.exists(name))) throw new RegistryError('name-unknown', { name })
    return { items: entries.slice(0, n).map(entry => parseTagFolder(entry.key)), more: entries.length > n }
  }

  return { resolve, point, naming, drop, remove, list }
}

const caseClash = (tag: string): RegistryError =>
  new RegistryError(
    'tag-invalid',
    { tag },
    { message: 'another tag differs from this one in case only, and the folder this registry is on ignores case' }
  )

export type Tags = ReturnType<typeof createTags>
