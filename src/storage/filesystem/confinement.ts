import { lstatSync, realpathSync, type Stats } from 'node:fs'
import { lstat, realpath } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StorageError } from '../driver.ts'
import { codeOf, ignoreMissing, isMissing } from './errors.ts'

export interface ConfinementOptions {
  /** The root's path, which may lead through links itself. */
  path: string
  local: boolean
  ignoresCase: boolean
}

/**
 * @param folder a path below the root, of a folder that need not be there
 * @throws StorageError `failed` when a symbolic link stands anywhere between the root and it (what lies behind one may be
 *   another's, or on another disk), or when a FIFO, a socket or a device is in its place
 */
export type Confine = (folder: string) => Promise<void>

/** On a local disk a check takes some 5 µs, so it stands before what is written, and before what is read anew. */
export async function createConfine({ path, local, ignoresCase }: ConfinementOptions): Promise<Confine> {
  const real = local ? async (at: string) => realpathSync.native(at) : realpath
  const statAt = local
    ? async (at: string) => lstatSync(at, { throwIfNoEntry: false })
    : (at: string) => lstat(at).catch(ignoreMissing)
  const sameCase = ignoresCase ? (text: string) => text.toLowerCase() : (text: string) => text
  let base = await real(path)

  const isBelow = (at: string, found: string): boolean => sameCase(found) === sameCase(base + at.slice(path.length))

  return async folder => {
    for (let at = folder; at.length > path.length; at = dirname(at)) {
      let found: string
      try {
        found = await real(at)
      } catch (error) {
        if (codeOf(error) === 'ELOOP') throw linkOnTheWay(at, error)
        if (!isMissing(error)) throw error
        // Also said of a link that leads nowhere. Without one, what counts is the folder above.
        checkKind(at, await statAt(at))
        continue
      }
      checkKind(at, await statAt(at))
      if (isBelow(at, found)) return
      base = await real(path) // the root may have been moved behind a link of its own
      if (!isBelow(at, found)) throw linkOnTheWay(at)
      return
    }
  }
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
