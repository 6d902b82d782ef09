import { RegistryError } from '../registry/errors.ts'
import type { ByteRange } from '../storage/driver.ts'

/**
 * Reads the `Content-Range` of an upload's chunk: the spec's `0-9` ("Pushing a blob in chunks"), and RFC 9110's
 * `bytes 0-9/*` and `bytes 0-9/10`, which HTTP libraries write.
 *
 * @returns both ends inclusive; undefined when there is no header
 * @throws RegistryError `upload-invalid` for anything else
 */
export function parseChunkRange(header: string | undefined): ByteRange | undefined {
  if (header === undefined) return undefined
  const match = /^(?:(\d+)-(\d+)|bytes (\d+)-(\d+)\/(\*|\d+))$/.exec(header.trim())
  if (match === null) throw invalid(header, 'Content-Range must be <first byte>-<last byte>')
  const start = Number(match[1] ?? match[3])
  const end = Number(match[2] ?? match[4])
  const total = Number(match[5] ?? '*')
  if (end < start) throw invalid(header, 'Content-Range ends before it starts')
  if (!Number.isSafeInteger(end) || end >= total) throw invalid(header, 'Content-Range ends past the end of the blob')
  return { start, end }
}

function invalid(contentRange: string, message: string): RegistryError {
  return new RegistryError('upload-invalid', { contentRange }, { message })
}
