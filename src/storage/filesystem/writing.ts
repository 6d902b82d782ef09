/** So many pieces go into one write at most, however small they are. */
const PIECES = 1024

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
 * Writes a source's bytes to a file from `start` on, in batches of about `batchSize` bytes. While one is being written
 * the next is gathered from the source, so at most two are held, and a source that hashes what it gives works meanwhile.
 */
export async function writeSource(
  handle: WritableFile,
  start: number,
  source: AsyncIterable<Uint8Array>,
  batchSize: number
): Promise<Written> {
  const written: Written = { size: start }
  const write = async (batch: Uint8Array[]): Promise<void> => {
    try {
      for (let rest = batch; rest.length > 0; ) {
        const { bytesWritten } = await handle.writev(rest, written.size)
        written.size += bytesWritten
        rest = skip(rest, bytesWritten)
      }
    } catch (error) {
      written.writeFailed = { error }
    }
  }

  let batch: Uint8Array[] = []
  let gathered = 0
  let writing = Promise.resolve()
  try {
    for await (const piece of source) {
      if (piece.length === 0) continue
      batch.push(piece)
      gathered += piece.length
      if (gathered < batchSize && batch.length < PIECES) continue
      await writing
      if (written.writeFailed) break
      writing = write(batch)
      batch = []
      gathered = 0
    }
  } catch (error) {
    written.sourceFailed = { error }
  }
  await writing
  if (!written.writeFailed) await write(batch)
  // A failing write may have left bytes that nobody knows of.
  if (written.writeFailed) await handle.truncate(written.size).catch(() => undefined)
  return written
}

/** What is left of the pieces after the first `bytes`. */
function skip(pieces: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes
  for (const [i, piece] of pieces.entries()) {
    if (left < piece.length) return [piece.subarray(left), ...pieces.slice(i + 1)]
    left -= piece.length
  }
  return []
}
