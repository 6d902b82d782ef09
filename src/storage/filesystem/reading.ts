import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { BufferShare, Buffers } from '../buffers.ts'
import { type ByteRange, type ObjectBody, StorageError } from '../driver.ts'
import { checkKind } from './confinement.ts'
import { ignoreMissing, isMissing, storageError } from './errors.ts'
import type { Root } from './root.ts'

/** A file up to this size is read at once; on a local disk that costs less than to ask the thread pool for it. */
const SMALL = 64 * 1024

/** A link in the file's place fails, and a FIFO does not wait for a writer. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

interface ReadFile {
  bytes: Buffer
  stat: Stats
}

/** Reads whole files and parts of them. `undefined` stands for "there is no such file" throughout. */
export interface Reading {
  whole(path: string): Promise<ReadFile | undefined>
  body(path: string, range: ByteRange | undefined): Promise<ObjectBody | undefined>
}

/** Reads small files at once, and streams large ones through the shared buffers. */
export function createReading(root: Root, buffers: Buffers): Reading {
  const whole = async (path: string): Promise<ReadFile | undefined> => {
    await root.confine(dirname(path))
    const small = root.local ? readSmall(path) : 'large'
    return small === 'large' ? readWhole(path) : small
  }
  return {
    whole,
    body: async (path, range) => {
      const stat = await root.stat(path)
      if (!stat?.isFile()) return undefined
      if (stat.size > SMALL) {
        await root.confine(dirname(path))
        const { start, end } = partOf(stat.size, range)
        return { size: stat.size, chunks: chunksOf(root, path, start, end, buffers) }
      }
      const read = await whole(path)
      if (!read) return undefined
      const { start, end } = partOf(read.bytes.length, range)
      return { size: read.bytes.length, chunks: oneChunk(read.bytes.subarray(start, end)) }
    }
  }
}

/** The part of a file of `size` bytes that the range names; the end is exclusive. Throws `StorageError('range')`. */
function partOf(size: number, range: ByteRange | undefined): { start: number; end: number } {
  if (!range) return { start: 0, end: size }
  if (range.start < 0 || range.start >= size || range.end < range.start) {
    throw new StorageError('range', `bytes ${range.start}-${range.end} of ${size}`, { size })
  }
  return { start: range.start, end: Math.min(range.end + 1, size) }
}

function readSmall(path: string): ReadFile | 'large' | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, READ)
  } catch (error) {
    return ignoreMissing(error)
  }
  try {
    const stat = fstatSync(descriptor)
    checkKind(path, stat)
    if (!stat.isFile()) return undefined
    if (stat.size > SMALL) return 'large'
    const bytes = Buffer.allocUnsafe(stat.size)
    let filled = 0
    for (let read = -1; read !== 0 && filled < stat.size; filled += read) {
      read = readSync(descriptor, bytes, filled, stat.size - filled, filled)
    }
    return { bytes: bytes.subarray(0, filled), stat }
  } finally {
    closeSync(descriptor)
  }
}

async function readWhole(path: string): Promise<ReadFile | undefined> {
  let handle: FileHandle
  try {
    handle = await open(path, READ)
  } catch (error) {
    return ignoreMissing(error)
  }
  try {
    const stat = await handle.stat()
    checkKind(path, stat)
    return stat.isFile() ? { bytes: await handle.readFile(), stat } : undefined
  } finally {
    await handle.close()
  }
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}

/** The bytes from `start` up to `end`. The file is opened with the first chunk: a body that nobody reads holds nothing. */
async function* chunksOf(
  root: Root,
  path: string,
  start: number,
  end: number,
  buffers: Buffers
): AsyncGenerator<Uint8Array> {
  let handle: FileHandle
  try {
    handle = await open(path, READ)
  } catch (error) {
    if (isMissing(error)) {
      await root.confirm(path)
      throw new StorageError('failed', `${path} vanished before it was read`, { cause: error })
    }
    throw storageError(error, `read ${path}`)
  }
  const share = buffers.open(end - start)
  try {
    yield* pieces(handle, start, end, share)
  } catch (error) {
    throw storageError(error, `read ${path}`)
  } finally {
    share.end()
    await handle.close()
  }
}

/** Two buffers in turn: while the receiver has the one, the next piece is read into the other. */
async function* pieces(handle: FileHandle, start: number, end: number, share: BufferShare): AsyncGenerator<Uint8Array> {
  const fill = (buffer: Buffer, position: number): Promise<Buffer> => {
    const filled = readFully(handle, buffer.subarray(0, Math.min(buffer.length, end - position)), position)
    filled.catch(() => undefined) // it is awaited later, or the receiver has left and does not care
    return filled
  }
  let current = share.take()
  let other = end - start > share.size ? share.take() : current
  let ahead = fill(current, start)
  try {
    for (let position = start; position < end; position += share.size) {
      const piece = await ahead
      ;[current, other] = [other, current]
      if (position + share.size < end) ahead = fill(current, position + share.size)
      yield piece
    }
  } finally {
    // The buffers go back to the pool: nothing may still be read into them.
    await ahead.catch(() => undefined)
  }
}

async function readFully(handle: FileHandle, into: Buffer, position: number): Promise<Buffer> {
  for (let filled = 0; filled < into.length; ) {
    const { bytesRead } = await handle.read(into, filled, into.length - filled, position + filled)
    if (bytesRead === 0) throw new StorageError('failed', `a file ends at ${position + filled}, short of its size`)
    filled += bytesRead
  }
  return into
}
