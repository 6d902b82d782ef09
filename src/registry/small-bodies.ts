/** A body in memory. */
export interface Gathered {
  /** What came of it. */
  bytes: Buffer
  /** Why no more came; undefined: it is whole. */
  failure: { error: unknown } | undefined
}

/**
 * Reads a body that is small enough to be held.
 *
 * @param length bytes that it has; no more are taken
 */
export async function gather(source: AsyncIterable<Uint8Array>, length: number): Promise<Gathered> {
  const bytes = Buffer.allocUnsafeSlow(length) // it may be kept, and a pool with it
  let size = 0
  try {
    for await (const chunk of source) {
      bytes.set(chunk.subarray(0, length - size), size)
      size = Math.min(length, size + chunk.length)
    }
    return { bytes: bytes.subarray(0, size), failure: undefined }
  } catch (error) {
    return { bytes: bytes.subarray(0, size), failure: { error } }
  }
}

/** The body once more, as it came: what failed then fails at the same place. */
export async function* replay({ bytes, failure }: Gathered): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
  if (failure) throw failure.error
}
