import type { BufferShare } from '../buffers.ts'
import { type AppendOptions, StorageError } from '../driver.ts'

/** What is asked of a file's handle. */
export interface WritableFile {
  writev(pieces: Uint8Array[], position: number): Promise<{ bytesWritten: number }>
  truncate(size: number): Promise<void>
}

/** How writing a source ended. At most one of the two failures is there, boxed since anything can be thrown. */
export interface Written {
  /** The file's size: bytes that the system took, whatever failed. */
  size: number
  sourceFailed?: { error: unknown }
  writeFailed?: { error: unknown }
}

/**
 * Writes a source's bytes to a file from `start` on. They are gathered in the two buffers of the share in turn: while the
 * one is written and watched, the other is filled.
 */
export async function writeSource(
  handle: WritableFile,
  start: number,
  source: AsyncIterable<Uint8Array>,
  share: Pick<BufferShare, 'size' | 'take'>,
  watch?: AppendOptions['watch']
): Promise<Written> {
  const written: Written = { size: start }
  let filling = share.take()
  let other: Buffer | undefined
  let filled = 0
  let passing: Promise<unknown> = Promise.resolve()

  /**
   * Passes on what was gathered, once what was before it has been. The buffer is empty afterwards in every case, also
   * where a write has failed: whoever fills it waits for nothing else.
   */
  const pass = async (): Promise<void> => {
    await passing
    const bytes = filling.subarray(0, filled)
    filled = 0
    if (written.writeFailed || bytes.length === 0) return
    passing = Promise.all([write(handle, bytes, written), watch?.(bytes)])
    ;[filling, other] = [other ?? share.take(), filling]
  }

  try {
    for await (const piece of source) {
      for (let at = 0; at < piece.length && !written.writeFailed; ) {
        const part = piece.subarray(at, at + share.size - filled)
        // Into memory that threads share, `set` takes half as long again.
        filling.fill(part, filled, filled + part.length)
        filled += part.length
        at += part.length
        if (filled === share.size) await pass()
      }
      if (written.writeFailed) break
    }
  } catch (error) {
    written.sourceFailed = { error }
  }
  await pass()
  await passing
  // A failing write may have left bytes that nobody knows of.
  if (written.writeFailed) await handle.truncate(written.size).catch(() => undefined)
  return written
}

/** Writes at the end of what was written. A failure is noted and not thrown. */
async function write(handle: WritableFile, bytes: Uint8Array, written: Written): Promise<void> {
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await handle.writev([bytes.subarray(done)], written.size)
      if (bytesWritten === 0)
        throw new StorageError('failed', 'the system wrote none of the bytes and reported no error')
      written.size += bytesWritten
      done += bytesWritten
    }
  } catch (error) {
    written.writeFailed = { error }
  }
}
