import { createCipheriv, createHash } from 'node:crypto'

const blockBytes = 16
const chunkBytes = 1 << 20
const zeros = Buffer.alloc(chunkBytes)

/**
 * The bytes `from` (inclusive) to `to` (exclusive) of an endless stream that the seed alone determines: content of any
 * size that is nowhere stored and can be had again from any place on. It is the key stream of AES in counter mode,
 * which has random access and is faster than what is tested with it.
 */
export function* seededBytes(seed: number, from: number, to: number): Generator<Buffer> {
  const key = createHash('sha256').update(String(seed)).digest().subarray(0, blockBytes)
  const counter = Buffer.alloc(blockBytes)
  counter.writeBigUInt64BE(BigInt(Math.floor(from / blockBytes)), 8)
  const cipher = createCipheriv('aes-128-ctr', key, counter)
  cipher.update(zeros.subarray(0, from % blockBytes))
  for (let at = from; at < to; at += chunkBytes) yield cipher.update(zeros.subarray(0, Math.min(chunkBytes, to - at)))
}

/** The first `size` bytes of the seed's stream, in memory. */
export function seededBuffer(seed: number, size: number): Buffer {
  return Buffer.concat([...seededBytes(seed, 0, size)])
}

/** `sha256:…` of what the chunks hold, and how many bytes they are. */
export async function sha256(
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
): Promise<{ digest: string; size: number }> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    size += chunk.length
  }
  return { digest: `sha256:${hash.digest('hex')}`, size }
}

/** `sha256:…` of bytes in memory. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
