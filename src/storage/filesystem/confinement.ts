import { lstatSync, type Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { LRUCache } from 'lru-cache'
import { StorageError } from '../driver.ts'
import { codeOf, ignoreMissing } from './errors.ts'

export interface ConfinementOptions {
  /** The root's path, which may lead through links itself. */
  path: string
  local: boolean
}

/**
 * @param folder a path below the root, of a folder that need not be there
 * @throws StorageError `failed` when a symbolic link stands anywhere between the root and it (what lies behind one may be
 *   another's, or on another disk), or when a FIFO, a socket or a device is in its place
 */
export type Confine = (folder: string) => Promise<void>

/** A folder that was found to be below the root, without a link on the way. */
interface Known {
  dev: number
  ino: number
  birthtimeMs: number
  /** When the folders above it were looked at last, by `performance.now`. */
  checkedAt: number
}

const REMEMBERED = 20_000
/** After this long the folders above are looked at again: one may have been moved, and a link put in its place. */
const TRUST_MS = 1000

/**
 * Looks at a folder and at those above it, up to one that is known and still the same: mostly one look of some 2 µs on a
 * local disk, so it stands before what is written, and before what is read anew.
 */
export function createConfine({ path, local }: ConfinementOptions): Confine {
  const known = new LRUCache<string, Known>({ max: REMEMBERED })

  /** The folders from this one upwards that are to be looked at; told of each what is there, it says when it is enough. */
  function* above(folder: string): Generator<string, void, Stats | undefined> {
    const checkedAt = performance.now()
    const passed: [at: string, stat: Stats][] = []
    for (let at = folder; at.length > path.length; at = dirname(at)) {
      const stat = yield at
      checkKind(at, stat)
      if (!stat) continue
      const before = known.get(at)
      if (before && isSame(before, stat) && checkedAt - before.checkedAt < TRUST_MS) break
      if (stat.isDirectory()) passed.push([at, stat])
    }
    for (const [at, { dev, ino, birthtimeMs }] of passed) known.set(at, { dev, ino, birthtimeMs, checkedAt })
  }

  if (local) {
    return async folder => {
      const walk = above(folder)
      for (let step = walk.next(); !step.done; ) step = walk.next(lookNow(step.value))
    }
  }
  return async folder => {
    const walk = above(folder)
    for (let step = walk.next(); !step.done; ) {
      step = walk.next(await lstat(step.value).catch(error => missingOrLink(step.value ?? folder, error)))
    }
  }
}

function lookNow(at: string): Stats | undefined {
  try {
    return lstatSync(at, { throwIfNoEntry: false })
  } catch (error) {
    return missingOrLink(at, error)
  }
}

/** Also of a link that leads nowhere the system says that nothing is there: it is found when the folder above is looked at. */
function missingOrLink(at: string, error: unknown): undefined {
  if (codeOf(error) === 'ELOOP') throw linkOnTheWay(at, error)
  return ignoreMissing(error)
}

/** A number that was given to another folder meanwhile comes with another time of birth, where the disk keeps one. */
function isSame(known: Known, stat: Stats): boolean {
  return (
    stat.isDirectory() && known.ino === stat.ino && known.dev === stat.dev && known.birthtimeMs === stat.birthtimeMs
  )
}

/** Throws StorageError `failed` for what is neither a file nor a folder. Not even to be opened: a FIFO would block. */
export function checkKind(path: string, stat: Stats | undefined): void {
  if (stat && !stat.isFile() && !stat.isDirectory()) throw strange(path, stat)
}

/** The error for something that is neither a file nor a folder; in a word what it is. */
export function strange(path: string, kind: Pick<Stats, 'isSymbolicLink' | 'isFIFO' | 'isSocket'>): StorageError {
  const what = kind.isSymbolicLink()
    ? 'a symbolic link'
    : kind.isFIFO()
      ? 'a FIFO'
      : kind.isSocket()
        ? 'a socket'
        : 'a device'
  return new StorageError('failed', `${path} is ${what}: a store has files and folders only, and never follows a link`)
}

function linkOnTheWay(path: string, cause?: unknown): StorageError {
  return new StorageError('failed', `a symbolic link leads to ${path}: a store never follows one`, { cause })
}
