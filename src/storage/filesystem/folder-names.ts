import type { Dirent } from 'node:fs'
import { opendir, readdir } from 'node:fs/promises'
import { setImmediate as othersTurn } from 'node:timers/promises'
import { strange } from './confinement.ts'
import { ignoreMissing } from './errors.ts'

/** Entries of a large folder that are read in one go. All of 100,000 at once would hold up everybody else for 0.2 s. */
const PIECE = 256
/** A folder that takes more bytes on its disk has some hundred names at least; few disks tell of less for a large one. */
const LARGE = 32 * 1024
/** Names that are merged in one go. */
const MERGED = 2048

/**
 * The names in a folder in byte order, those of folders with a `/` behind; undefined where there is no folder. Names with
 * a dot before them are the system's (`.nfs…`, `.DS_Store`): no key has such a part.
 *
 * @param size of the folder itself, in bytes, as `stat` tells it
 * @throws StorageError `failed` for what is neither a file nor a folder: to leave it out would look as if something were
 *   gone, to a collector as well
 */
export async function namesIn(folder: string, size: number): Promise<string[] | undefined> {
  if (size <= LARGE) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(ignoreMissing)
    return entries?.flatMap(entry => nameOf(folder, entry) ?? []).sort()
  }
  const entries = await opendir(folder, { bufferSize: PIECE }).catch(ignoreMissing)
  if (!entries) return undefined
  const pieces: string[][] = []
  let piece: string[] = []
  for await (const entry of entries) {
    const name = nameOf(folder, entry)
    if (name === undefined || piece.push(name) < PIECE) continue
    pieces.push(piece.sort())
    piece = []
  }
  return merged([...pieces, piece.sort()])
}

function nameOf(folder: string, entry: Dirent): string | undefined {
  if (entry.name.startsWith('.')) return undefined
  if (entry.isDirectory()) return `${entry.name}/`
  if (entry.isFile()) return entry.name
  throw strange(`${folder}/${entry.name}`, entry)
}

/** One sorted list of sorted ones, two by two; whoever else has work to do gets a turn all the time. */
export async function merged(lists: readonly string[][]): Promise<string[]> {
  if (lists.length <= 1) return lists[0] ?? []
  const half = Math.ceil(lists.length / 2)
  const [left, right] = [await merged(lists.slice(0, half)), await merged(lists.slice(half))]
  const both: string[] = []
  for (let [l, r] = [0, 0]; l < left.length || r < right.length; ) {
    const fromLeft = r === right.length || (l < left.length && left[l]! < right[r]!)
    if (both.push(fromLeft ? left[l++]! : right[r++]!) % MERGED === 0) await othersTurn()
  }
  return both
}
