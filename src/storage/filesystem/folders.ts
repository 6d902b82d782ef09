import { closeSync, constants, fsync, openSync } from 'node:fs'
import { mkdir, open, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { LRUCache } from 'lru-cache'
import { codeOf, ignoreMissing, isMissing } from './errors.ts'
import { PRIVATE_FOLDER } from './private.ts'
import type { Root } from './root.ts'

/** Where concurrent deletes take folders away again and again, a writer tries this often. */
const TRIES = 100

/** So many folders are known; one that is forgotten costs an fsync. */
const KNOWN = 20_000

/** To open anything but a folder fails: a FIFO would block. */
const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY

const fsyncOf = promisify(fsync)

/** Makes folders, makes them durable, and takes empty ones away. */
export interface Folders {
  /** Does what needs the folder to be there: makes it, and again where `work` fails with ENOENT, as a delete took it away. */
  within<T>(folder: string, work: () => Promise<T>): Promise<T>
  /** Resolves when all that was done in the folder so far, and the folder itself, would outlast a power cut. */
  settle(folder: string): Promise<void>
  /** Removes these folders where they are empty, and upwards what becomes empty by it; then all of it is durable. */
  prune(folders: Iterable<string>, options: { durable: boolean }): Promise<void>
}

/** The folders of one root. Its promises reject with the system's errors. */
export function createFolders(root: Root): Folders {
  const sync = createFolderSync(root.local, root.confirm)
  /**
   * Folders that this process has seen, and whether it knows their entry in their parent, and so on upwards, to be
   * durable. Whoever else made one may have died before it was: it is made durable by whoever is the first to rest on it.
   */
  const known = new LRUCache<string, { durable: boolean }>({ max: KNOWN })

  async function make(folder: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      known.set(folder, { durable: false })
      try {
        await (root.isPrivate(folder) ? mkdir(folder, { mode: PRIVATE_FOLDER }) : mkdir(folder))
        return
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return
        known.delete(folder)
        if (codeOf(error) !== 'ENOENT' || tries === TRIES) throw error
        if (dirname(folder) === root.path) await root.confirm(folder)
        else await make(dirname(folder))
      }
    }
  }

  async function pruneOne(folder: string): Promise<string> {
    // Whose parent is the root is a top-level folder, and stays: it would come and go all the time.
    for (let at = folder; ; at = dirname(at)) {
      if (dirname(at) === root.path || at === root.path) return at
      try {
        known.delete(at)
        await rmdir(at)
      } catch (error) {
        const code = codeOf(error)
        if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') return at
        if (code !== 'ENOENT') throw error
      }
    }
  }

  return {
    within: async (folder, work) => {
      for (let tries = 1; ; tries++) {
        await root.confine(folder)
        // Most folders hold one key: to make one that may be there costs less than to fail first.
        if (!known.has(folder)) await make(folder)
        try {
          return await work()
        } catch (error) {
          if (codeOf(error) !== 'ENOENT' || tries === TRIES) throw error
          known.delete(folder)
        }
      }
    },
    settle: async folder => {
      const unknown: string[] = []
      for (let at = folder; at.length > root.path.length && !known.get(at)?.durable; at = dirname(at)) unknown.push(at)
      await Promise.all([sync(folder), ...unknown.map(at => sync(dirname(at)))])
      for (const at of unknown) known.set(at, { durable: true })
    },
    prune: async (folders, { durable }) => {
      const left = new Set<string>()
      for (const folder of folders) left.add(await pruneOne(folder))
      // That a folder is gone says that its files are: the nearest folder that stays is the one to make durable.
      if (durable) await Promise.all(Array.from(left, sync))
    }
  }
}

/**
 * fsync of folders, shared: who asks while a sync of the same folder runs waits for the next one, which serves all that
 * have asked by then. For a folder that is gone it is the nearest one above: that it is gone says that its files are.
 *
 * @param confirm throws where a folder is missing because the root is: what was done in it is on another disk then
 */
export function createFolderSync(
  local: boolean,
  confirm: (missing: string) => Promise<void>
): (folder: string) => Promise<void> {
  const running = new Map<string, Promise<void>>()
  const waiting = new Map<string, Promise<void>>()
  const flush = async (folder: string): Promise<void> => {
    const found = await (local ? flushLocal(folder) : flushRemote(folder))
    if (found) return
    await confirm(folder)
    return flush(dirname(folder))
  }

  const start = (folder: string): Promise<void> => {
    const done = flush(folder).finally(() => running.delete(folder))
    running.set(folder, done)
    return done
  }
  return folder => {
    const next = waiting.get(folder)
    if (next) return next
    const current = running.get(folder)
    if (!current) return start(folder)
    const begin = () => {
      waiting.delete(folder)
      return start(folder)
    }
    const queued = current.then(begin, begin)
    waiting.set(folder, queued)
    return queued
  }
}

/** False: there is no such folder. */
async function flushLocal(folder: string): Promise<boolean> {
  let descriptor: number
  try {
    descriptor = openSync(folder, FOLDER)
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
  try {
    await fsyncOf(descriptor)
    return true
  } finally {
    closeSync(descriptor)
  }
}

async function flushRemote(folder: string): Promise<boolean> {
  const handle = await open(folder, FOLDER).catch(ignoreMissing)
  if (!handle) return false
  try {
    await handle.sync()
    return true
  } finally {
    await handle.close()
  }
}
