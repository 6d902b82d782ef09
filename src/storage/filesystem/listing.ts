import type { Stats } from 'node:fs'
import { LRUCache } from 'lru-cache'
import type { ListEntry, ListOptions } from '../driver.ts'
import { namesIn } from './folder-names.ts'
import { found, isOwn, type Root, statAside, statNow } from './root.ts'

/** Names kept over all folders: some 60 bytes each. A folder with more is kept as well, but no other such. */
const CACHED_NAMES = 500_000
/** A folder's time may stand still for a tick of the kernel's clock, so a change within it would go unseen. */
const TICK_MS = 50
/** Some file systems keep whole seconds, or every second one. */
const COARSE_TICK_MS = 2_500
/** So many files are looked at together for their ages. */
const AGES_AT_ONCE = 32
/** A local file's `stat` costs less than to ask the thread pool, but many of them would hold up everybody else. */
const FEW = 8

/** A folder as it was read: names in byte order, those of folders with a `/` behind, as keys have it. */
interface FolderNames {
  /** Of the folder, which is looked at with each list. */
  readonly path: string
  readonly names: readonly string[]
  /** Times of last change by index, filled in as they are asked for. */
  readonly times: (number | undefined)[]
  /** Undefined: it was changing while it was read, so nothing tells whether it is still the same. */
  readonly state: FolderState | undefined
  /** When reading it began, by `performance.now`. */
  readonly readAt: number
}

/** By what to know whether a folder is as it was. A whole `Stats` with its dates is ten times as large. */
type FolderState = Pick<Stats, 'ctimeMs' | 'mtimeMs' | 'ino'>

/** See `ObjectStore.list`. */
export interface Listing {
  list(prefix: string, options: ListOptions): Promise<ListEntry[]>
}

/** Lists the keys of a root, from memory where nothing changed. Throws `unavailable` when the root is gone. */
export function createListing(root: Root, cachedNames = CACHED_NAMES): Listing {
  const names = createFolderNames(root, cachedNames)
  return {
    list: async (prefix, { after = '', limit = Number.POSITIVE_INFINITY, folders = false, ages = false, since }) => {
      const walk: Walk = { root, names, prefix, floor: floorOf(after), limit, folders, ages, since, entries: [] }
      if (limit > 0) await collect(walk, prefix.slice(0, prefix.lastIndexOf('/') + 1))
      return walk.entries
    }
  }
}

interface Walk {
  readonly root: Root
  readonly names: NamesOfFolders
  readonly prefix: string
  /** The least key, or prefix, that is wanted. */
  readonly floor: string
  readonly limit: number
  readonly folders: boolean
  readonly ages: boolean
  readonly since: number | undefined
  readonly entries: ListEntry[]
}

/** `0` follows `/`: the least key that is not under the prefix. For a key it is the key with the least more. */
function floorOf(after: string): string {
  if (after === '') return ''
  return after.endsWith('/') ? `${after.slice(0, -1)}0` : `${after}\0`
}

/** Adds what lies under the folder `base` (a key's beginning: empty, or ending in `/`) until the limit is reached. */
async function collect(walk: Walk, base: string): Promise<void> {
  const { root, names, floor, entries, ages } = walk
  const read = names.remembered(base) ?? (await names.of(base, walk))
  if (!read) return
  // To compare a key takes longer than to make it, so it is done only as long as it can tell something: all in the folder
  // that is the prefix are under it, and what follows a key that is wanted is wanted too.
  const whole = base.length >= walk.prefix.length
  let wanted = floor <= base
  for (let i = firstWanted(walk, base, read.names); i < read.names.length && entries.length < walk.limit; i++) {
    const name = read.names[i]!
    const key = base + name
    if (!whole && !key.startsWith(walk.prefix)) return
    wanted ||= key >= floor
    if (base === '' && name.endsWith('/') && !(await holdsKeys(walk, name))) continue
    if (name.endsWith('/')) {
      if (walk.folders) {
        if (wanted) entries.push({ key })
      } else if (wanted || floor.startsWith(key)) await collect(walk, key)
    } else if (wanted) {
      if (ages && read.times[i] === undefined) await lookAtTimes(walk, base, read, i)
      const time = read.times[i]
      // Without a time the file is gone since the folder was read.
      if (!ages) entries.push({ key })
      else if (time !== undefined) entries.push({ key, ageMs: root.age(time) })
    }
  }
}

/** With a slash at its end the path of a link would be that of the folder behind it. */
const folderAt = (root: Root, base: string): string => (base === '' ? root.path : root.pathOf(base.slice(0, -1)))

/** Whether a top-level folder is one of keys, and not an empty one: those stay when their last key goes. */
async function holdsKeys(walk: Walk, name: string): Promise<boolean> {
  if (name === 'lost+found/' || isOwn(name)) return false
  return !walk.folders || ((await walk.names.of(name, walk))?.names.length ?? 0) > 0
}

/** Where to begin in a folder: a binary search, so that a page costs the same wherever it starts. */
function firstWanted({ prefix, floor }: Walk, base: string, names: readonly string[]): number {
  const least = prefix > floor ? prefix : floor
  if (least === base) return 0
  if (!least.startsWith(base)) return least < base ? 0 : names.length
  const [head] = /^[^/]*\/?/.exec(least.slice(base.length)) ?? ['']
  let low = 0
  let high = names.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (names[middle]! < head) low = middle + 1
    else high = middle
  }
  return low
}

/** Looks at the times of a file of the folder and of those after it, as far as they may be wanted too. */
async function lookAtTimes(walk: Walk, base: string, read: FolderNames, index: number): Promise<void> {
  const { root, limit, entries } = walk
  const last = Math.min(index + AGES_AT_ONCE, index + limit - entries.length, read.names.length)
  const look = last - index > FEW ? statAside : root.stat
  const wanted = Array.from({ length: last - index }, (_, i) => index + i)
  await Promise.all(
    wanted.map(async i => {
      const name = read.names[i]!
      if (name.endsWith('/')) return
      const path = root.pathOf(base + name)
      read.times[i] = (await found(root, path, () => look(path)))?.mtimeMs
    })
  )
}

/**
 * Folders as they were read, by how the keys in them begin. Each page of the largest would cost all of it if that were not
 * kept.
 */
function createCache(cachedNames: number) {
  const sizeOf = ({ names }: FolderNames): number => names.length + 8
  const cache = new LRUCache<string, FolderNames>({ maxSize: cachedNames, sizeCalculation: sizeOf })
  let largest: { base: string; read: FolderNames } | undefined
  const forget = (base: string): void => {
    if (largest?.base === base) largest = undefined
    cache.delete(base)
  }
  return {
    get: (base: string) => (largest?.base === base ? largest.read : cache.get(base)),
    set: (base: string, read: FolderNames): void => {
      forget(base)
      if (sizeOf(read) > cachedNames) largest = { base, read }
      else cache.set(base, read)
    },
    /** Whether it can be kept without forgetting another. */
    hasRoomFor: (read: FolderNames): boolean => cache.calculatedSize + sizeOf(read) <= cachedNames,
    delete: forget
  }
}

/** What counts of a listing where folders are read; see `ListOptions`. */
type Page = Pick<Walk, 'since' | 'limit'>

/** The names in folders, by how the keys in them begin; see `createFolderNames`. */
interface NamesOfFolders {
  /** Those that were read before, where nothing has changed; undefined: that is not known. */
  remembered(base: string): FolderNames | undefined
  /** Undefined where there is no folder. For a page of a long listing they may be as old as that. */
  of(base: string, page: Page): Promise<FolderNames | undefined>
}

/**
 * Reads folders and remembers what it read. What was read is used again only while one `stat` of the folder shows that
 * nothing was added, removed or replaced: its times and its number are the same, and were already older than the clock's
 * tick when it was read. On a network folder that is not known, as the times seen may be old ones. Where nothing tells
 * that it is the same, it is used again only for a listing that began before it was read.
 */
function createFolderNames(root: Root, cachedNames: number): NamesOfFolders {
  const cache = createCache(cachedNames)
  const reading = new Map<string, Promise<FolderNames | undefined>>()

  async function readAnew(base: string, path: string, stat: Stats, page: Page): Promise<FolderNames | undefined> {
    const { since, limit } = page
    const [startedAt, readAt] = [Date.now(), performance.now()]
    await root.confine(path)
    const names = await namesIn(path, stat.size)
    if (!names) return undefined
    const read: FolderNames = { path, names, times: [], state: undefined, readAt }
    // A long listing comes back for a large folder. The many small ones that it passes push out nothing.
    const comesBack = since !== undefined && names.length > limit
    if (since !== undefined && !comesBack && !cache.hasRoomFor(read)) return read
    const { ctimeMs, mtimeMs, ino } = stat
    const still = root.local && startedAt - ctimeMs > tickOf(stat) && isSame(stat, await root.stat(path))
    const seen: FolderNames = still ? { ...read, state: { ctimeMs, mtimeMs, ino } } : read
    if (still || comesBack) cache.set(base, seen)
    return seen
  }

  async function look(base: string, path: string, page: Page): Promise<FolderNames | undefined> {
    const stat = await root.stat(path)
    if (!stat?.isDirectory()) {
      cache.delete(base)
      return undefined
    }
    const known = (): FolderNames | undefined => {
      const cached = cache.get(base)
      if (cached?.state && isSame(cached.state, stat)) return cached
      const recent = cached && page.since !== undefined && cached.readAt >= page.since
      return recent ? { ...cached, times: [] } : undefined
    }
    const seen = known()
    if (seen) return seen
    // Others may be reading the same large folder: theirs will do if it turns out to be worth remembering.
    await reading.get(base)?.catch(() => undefined)
    const theirs = known()
    if (theirs) return theirs
    const read = readAnew(base, path, stat, page)
    reading.set(base, read)
    return read.finally(() => {
      if (reading.get(base) === read) reading.delete(base)
    })
  }

  return {
    of: (base, page) => {
      const path = folderAt(root, base)
      return found(root, path, () => look(base, path, page))
    },
    // Nearly every list comes this way: without a promise it takes half the time.
    remembered: base => {
      const cached = cache.get(base)
      return cached?.state && isSame(cached.state, statNow(cached.path)) ? cached : undefined
    }
  }
}

function isSame(a: FolderState, b: Stats | undefined): boolean {
  return b !== undefined && a.ctimeMs === b.ctimeMs && a.mtimeMs === b.mtimeMs && a.ino === b.ino
}

function tickOf({ ctimeMs }: FolderState): number {
  return ctimeMs % 1000 === 0 ? COARSE_TICK_MS : TICK_MS
}
