import { close, closeSync, fdatasync, open, write } from 'node:fs'
import { promisify } from 'node:util'
import { StorageError } from '../driver.ts'

/*
 * Descriptors, for a push makes several small files: handles of `node:fs/promises` are objects, and each of their steps,
 * closing included, goes to the thread pool.
 */
const descriptorOf = promisify(open)
const writeTo = promisify(write)
const datasync = promisify(fdatasync)
const closeAside = promisify(close)

export interface Content {
  bytes: Uint8Array
  /** Whether they are to outlast a power cut when this resolves. */
  durable: boolean
  /** To close a file on a network may wait for its server. */
  local: boolean
}

/**
 * Makes a file: an empty one, or with bytes. Throws the system's error, `EEXIST` where something is.
 *
 * @param mode who may read it. Default: whoever the process's umask lets
 */
export async function createNew(path: string, content?: Content, mode?: number): Promise<void> {
  const file = await (mode === undefined ? descriptorOf(path, 'wx') : descriptorOf(path, 'wx', mode))
  // Nothing was written, so to close it waits for nothing.
  if (!content) return closeSync(file)
  const { bytes, durable, local } = content
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await writeTo(file, bytes, done, bytes.length - done, done)
      if (bytesWritten === 0)
        throw new StorageError('failed', 'the system wrote none of the bytes and reported no error')
      done += bytesWritten
    }
    if (durable) await datasync(file)
  } finally {
    if (local) closeSync(file)
    else await closeAside(file)
  }
}
