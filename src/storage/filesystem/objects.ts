import { link, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Buffers } from '../buffers.ts'
import type { DeleteOptions, ObjectStore, PutOptions } from '../driver.ts'
import { createNew } from './creating.ts'
import { codeOf, ignoreMissing, isMissing } from './errors.ts'
import type { Folders } from './folders.ts'
import { createListing } from './listing.ts'
import { PRIVATE_FILE } from './private.ts'
import { createReading } from './reading.ts'
import type { Reserve } from './reserve.ts'
import { found, type Root, statFound } from './root.ts'

/** Objects are files, at their keys' paths. A file is put in place whole and never written to afterwards. */
export function createObjects(root: Root, folders: Folders, buffers: Buffers, reserve: Reserve): ObjectStore {
  const reading = createReading(root, buffers)
  const { list } = createListing(root)
  return {
    stat: async key => {
      const path = root.pathOf(key)
      const stat = await statFound(root, path)
      return stat?.isFile() ? { size: stat.size, ageMs: root.age(stat.mtimeMs) } : undefined
    },
    get: async key => {
      const path = root.pathOf(key)
      const read = await found(root, path, () => reading.whole(path))
      return read && { bytes: read.bytes, ageMs: root.age(read.stat.mtimeMs) }
    },
    read: (key, range) => {
      const path = root.pathOf(key)
      return found(root, path, () => reading.body(path, range))
    },
    put: async (key, bytes, options = {}) => {
      const work = () => put(root, folders, root.pathOf(key), bytes, options)
      if (options.reserve) return reserve.spend(work)
      const written = await work()
      reserve.keep()
      return written
    },
    delete: (keys, options = {}) => remove(root, folders, keys, options),
    list: (prefix, options = {}) => list(prefix, options),
    url: async () => undefined
  }
}

type Placing = Required<Pick<PutOptions, 'ifAbsent' | 'durable'>>

async function put(
  root: Root,
  folders: Folders,
  path: string,
  bytes: Uint8Array,
  options: PutOptions
): Promise<boolean> {
  const { ifAbsent = false, durable = true } = options
  const written = await place(root, folders, path, bytes, { ifAbsent, durable })
  // Also where it existed: whoever wrote it may not have made it durable yet.
  if (durable) await folders.settle(dirname(path))
  return written
}

async function place(
  root: Root,
  folders: Folders,
  path: string,
  bytes: Uint8Array,
  options: Placing
): Promise<boolean> {
  if (bytes.length === 0) {
    // A look costs a tenth of an attempt that fails.
    if (options.ifAbsent && (await root.stat(path))) return false
    if (await folders.within(dirname(path), () => createEmpty(path, modeOf(root, path)))) return true
    if (options.ifAbsent) return false
  }
  return placeWhole(root, folders, path, bytes, options)
}

const modeOf = (root: Root, path: string): number | undefined => (root.isPrivate(path) ? PRIVATE_FILE : undefined)

/** An empty file is whole as soon as it is there. False: something is there already. */
async function createEmpty(path: string, mode: number | undefined): Promise<boolean> {
  try {
    await createNew(path, undefined, mode)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Writes aside and puts in place: with `link`, which fails where something is, or with `rename`, which replaces it. */
async function placeWhole(
  root: Root,
  folders: Folders,
  path: string,
  bytes: Uint8Array,
  { ifAbsent, durable }: Placing
): Promise<boolean> {
  const temporary = await root.temporary()
  let moved = false
  try {
    await createNew(temporary, { bytes, durable, local: root.local }, modeOf(root, path))
    await folders.within(dirname(path), () => (ifAbsent ? link(temporary, path) : rename(temporary, path)))
    moved = !ifAbsent
    return true
  } catch (error) {
    if (ifAbsent && codeOf(error) === 'EEXIST') return false
    throw error
  } finally {
    if (!moved) await unlink(temporary).catch(ignoreMissing)
  }
}

async function remove(
  root: Root,
  folders: Folders,
  keys: readonly string[],
  { durable = true, ordered = false }: DeleteOptions
): Promise<void> {
  const touched = new Set<string>()
  for (const [index, key] of keys.entries()) {
    const path = root.pathOf(key)
    // What goes before the last one, in this call or in one that made nothing durable, stays away when the last one does.
    if (ordered && durable && index === keys.length - 1) {
      await Promise.all([...touched, dirname(path)].map(folder => folders.settle(folder)))
    }
    if (!touched.has(dirname(path))) await root.confine(dirname(path))
    await unlink(path).catch(async error => {
      // A folder is no key.
      if (codeOf(error) === 'EISDIR') return
      if (!isMissing(error)) throw error
      await root.confirm(path)
      await unlink(path).catch(ignoreMissing)
    })
    touched.add(dirname(path))
  }
  await folders.prune(touched, { durable })
}
