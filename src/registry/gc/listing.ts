import type { ListEntry, ListOptions } from '../../storage/driver.ts'
import { parsePathFolder, pathFolder } from '../keys.ts'
import type { Round } from './round.ts'

/** What is needed to go through a store. */
export type Walk = Pick<Round, 'storage' | 'now' | 'pace'>

/** Entries of a page; also what one DeleteObjects of S3 takes. */
export const PAGE = 1000
/** What ages may be off by between two pages: the dates that S3 tells them by have whole seconds. */
const GRAIN_MS = 2000

/** A key, and when it was written by our clock as closely as its page tells: between `earliest` and `latest`. */
export interface AgedKey {
  key: string
  ageMs: number
  earliest: number
  latest: number
}

interface Page {
  entries: ListEntry[]
  begun: number
  ended: number
}

/** A listing of any length, page by page. Between two pages whoever else has work to do gets a turn. */
async function* pages(walk: Walk, prefix: string, options: ListOptions): AsyncGenerator<Page> {
  const { storage, now, pace } = walk
  const since = performance.now()
  for (let after: string | undefined; ; ) {
    await pace()
    const begun = now()
    const entries = await storage.list(prefix, { ...options, limit: PAGE, since, ...(after && { after }) })
    yield { entries, begun, ended: now() }
    if (entries.length < PAGE) return
    after = entries.at(-1)!.key
  }
}

/** Every entry below a prefix, in byte order. */
export async function* entries(walk: Walk, prefix: string, options: ListOptions = {}): AsyncGenerator<ListEntry> {
  for await (const page of pages(walk, prefix, options)) yield* page.entries
}

/** Every key below a prefix, in byte order, with its age. */
export async function* aged(walk: Walk, prefix: string): AsyncGenerator<AgedKey> {
  for await (const { entries, begun, ended } of pages(walk, prefix, { ages: true })) {
    for (const { key, ageMs = 0 } of entries) yield { key, ageMs, earliest: begun - ageMs, latest: ended - ageMs }
  }
}

/**
 * Of the keys of one thing: those older than the grace that a newer one stands for. Which is newer must be certain. If
 * two collectors took two keys of about the same age each for the older one, both would be gone.
 */
export function surplus(keys: readonly AgedKey[], graceMs: number): string[] {
  const newest = keys.reduce((latest, { earliest }) => Math.max(latest, earliest), Number.NEGATIVE_INFINITY)
  return keys.filter(({ ageMs, latest }) => ageMs > graceMs && latest + GRAIN_MS < newest).map(({ key }) => key)
}

/**
 * Every repository that has keys, in the order of `placeOf`, found by its folders: the catalog may lack one after a
 * crash. A folder of the store may be an empty one, and so may a repository.
 */
export async function* repositoryNames(walk: Walk, path = ''): AsyncGenerator<string> {
  let found = false
  for await (const { key } of entries(walk, pathFolder(path), { folders: true })) {
    const below = key.endsWith('/') ? parsePathFolder(key) : ''
    if (below) yield* repositoryNames(walk, below)
    else if (below === undefined && !found && path !== '') {
      found = true
      yield path
    }
  }
}

/** Puts together what lies side by side and has the same id. */
export async function* grouped<T, I>(items: AsyncIterable<T>, idOf: (item: T) => I): AsyncGenerator<[id: I, T[]]> {
  let group: [I, T[]] | undefined
  for await (const item of items) {
    const id = idOf(item)
    if (group?.[0] === id) group[1].push(item)
    else {
      if (group) yield group
      group = [id, [item]]
    }
  }
  if (group) yield group
}

export async function* batches<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let batch: T[] = []
  for await (const item of items) {
    if (batch.push(item) < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/**
 * Yields the candidates that nothing names. What names them is read after they were picked: of all that is written in
 * a certain order, that is what tells a leftover from a write under way.
 */
export async function* unnamed<T>(
  candidates: AsyncIterable<[name: string, T]>,
  named: () => AsyncIterable<string>,
  batch: number
): AsyncGenerator<T[]> {
  for await (const some of batches(candidates, batch)) {
    const left = new Map<string, T[]>()
    for (const [name, candidate] of some) {
      const same = left.get(name)
      if (same) same.push(candidate)
      else left.set(name, [candidate])
    }
    for await (const name of named()) left.delete(name)
    yield [...left.values()].flat()
  }
}

/** A page of items at a time, while the collection goes on. */
export async function* chunksOf<T>({ pace }: Walk, items: readonly T[]): AsyncGenerator<T[]> {
  for (let at = 0; at < items.length; at += PAGE) {
    await pace()
    yield items.slice(at, at + PAGE)
  }
}

/** Deletes keys, a page of them at a time. */
export async function deleteAll(walk: Walk, keys: readonly string[], durable = true): Promise<void> {
  for await (const chunk of chunksOf(walk, keys)) await walk.storage.delete(chunk, { durable })
}
