import { RegistryError } from './errors.ts'
import type { Progress } from './upload-hashes.ts'

export const sizeInvalid = (announced: number, received: number): RegistryError =>
  new RegistryError('size-invalid', { announced, received })

/** Hashes what is stored. */
export const hashing = (progress: Progress) => (bytes: Uint8Array) => {
  progress.size += bytes.length
  return progress.hash.update(bytes)
}

/** Stops a body that is longer than its Content-Range said. */
export async function* limited(source: AsyncIterable<Uint8Array>, expected: number): AsyncGenerator<Uint8Array> {
  let received = 0
  for await (const chunk of source) {
    received += chunk.length
    if (received > expected) throw sizeInvalid(expected, received)
    yield chunk
  }
}
