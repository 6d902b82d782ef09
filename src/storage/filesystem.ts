import { lstat, mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createBuffers } from './buffers.ts'
import { type AppendOptions, type StorageDriver, StorageError } from './driver.ts'
import { ignoreMissing, storageError, translated } from './filesystem/errors.ts'
import { createFolders } from './filesystem/folders.ts'
import { createObjects } from './filesystem/objects.ts'
import { closePrivate } from './filesystem/private.ts'
import { createReserve } from './filesystem/reserve.ts'
import { openRoot, type Root, TEMPORARY, UPLOADS } from './filesystem/root.ts'
import { createUploads, type FileUploads } from './filesystem/uploads.ts'

/** What a crash left in the temporary folder is taken away after this long. */
const LEFTOVER_MS = 24 * 60 * 60 * 1000
const BUFFER_MEMORY = 64 * 1024 * 1024

export interface FilesystemOptions {
  /** The folder that holds everything; it is made if need be. */
  path: string
  /** The clock that ages are told by, in milliseconds since 1970. Default `Date.now`. */
  now?: () => number
  /** Bytes that all streams together may hold. Default 64 MiB. */
  bufferMemory?: number
  /** Whether the folder is on a disk of this machine. Default: what the system says. */
  local?: boolean
  /** Prefixes of keys, each with `/` at its end, that hold secrets: nobody but the owner may read them. Default: none. */
  privatePrefixes?: readonly string[]
  /** Whether the folder is only read, so that it may be a read-only mount: opening it writes nothing. Default false. */
  readOnly?: boolean
}

export interface FilesystemDriver extends StorageDriver {
  /** The folder is on a disk of this machine and not on a network. */
  readonly local: boolean
  readonly ignoresCase: boolean
  /** For the operator: secrets that others could read when the folder was opened. */
  readonly exposed: readonly string[]
}

/**
 * Opens a folder as a store. Any number of processes may have the same folder open.
 *
 * @throws StorageError `failed`, in one sentence for the operator, when the folder can't be written to or lacks what the
 *   driver rests on (hard links, durable folders)
 */
export async function openFilesystem(options: FilesystemOptions): Promise<FilesystemDriver> {
  const { path, now = Date.now, bufferMemory = BUFFER_MEMORY, local, readOnly = false, privatePrefixes = [] } = options
  const root = await openRoot({ path, now, local, readOnly, privatePrefixes })
  const folders = createFolders(root)
  const buffers = createBuffers(bufferMemory)
  if (!readOnly) await prepare(root, folders.settle)
  const reserve = createReserve(root)
  if (!readOnly) await reserve.fill()
  const exposed = await closePrivate(root.path, privatePrefixes, { readOnly })
  const objects = createObjects(root, folders, buffers, reserve)
  const uploads = createUploads(root, folders, buffers)
  const sweeping = readOnly ? undefined : sweep(root).catch(() => undefined)

  return {
    name: 'filesystem',
    local: root.local,
    ignoresCase: root.ignoresCase,
    exposed,
    stat: translated('stat', objects.stat),
    get: translated('get', objects.get),
    read: translated('read', objects.read),
    put: translated('put', objects.put),
    delete: translated('delete', objects.delete),
    list: translated('list', objects.list),
    url: objects.url,
    upload: translated('upload', uploads.upload),
    append: appendOf(uploads),
    commit: translated('commit', uploads.commit),
    abort: translated('abort', uploads.abort),
    listUploads: () => listingOf(uploads),
    close: async () => {
      await Promise.all([sweeping, reserve.settled()])
    }
  }
}

async function prepare(root: Root, settle: (folder: string) => Promise<void>): Promise<void> {
  try {
    await mkdir(join(root.path, UPLOADS), { recursive: true })
    await settle(root.path)
  } catch (error) {
    throw new StorageError('failed', `The folder ${root.path} cannot be prepared`, { cause: error })
  }
}

/** Passes a source's own error on as it is: only what the disk says becomes a `StorageError`. */
function appendOf(uploads: FileUploads): StorageDriver['append'] {
  const append = translated('append', uploads.append)
  return async (id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions) => {
    const { size, sourceFailed } = await append(id, source, options)
    if (sourceFailed) throw sourceFailed.error
    return size
  }
}

async function* listingOf(uploads: FileUploads): ReturnType<FileUploads['listUploads']> {
  try {
    yield* uploads.listUploads()
  } catch (error) {
    throw storageError(error, 'list uploads')
  }
}

/** Takes away what is long past in the temporary folder. */
async function sweep(root: Root): Promise<void> {
  const folder = join(root.path, TEMPORARY)
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const stat = await lstat(path).catch(ignoreMissing)
    if (stat && root.age(stat.mtimeMs) > LEFTOVER_MS) await rm(path, { recursive: true, force: true })
  }
}
