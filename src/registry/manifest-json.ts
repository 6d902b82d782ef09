import { RegistryError } from './errors.ts'

/** Levels of objects and arrays in one another; the image spec's own manifests have 4. */
const DEPTH_MAX = 100
/**
 * Members of objects and elements of arrays. To parse millions of them takes the one thread there is for a second, and
 * memory a hundred times the manifest's size; this many are an index of 20,000 images.
 */
const VALUES_MAX = 100_000

/**
 * Reads a manifest's bytes as the JSON object that they must be: in strict UTF-8, without a byte order mark, neither
 * nested deeper than 100 levels nor of more than 100,000 values. Throws `manifest-invalid`.
 */
export function parseManifestJson(bytes: Buffer): Record<string, unknown> {
  checkShape(bytes)
  let value: unknown
  try {
    // A byte order mark is no JSON: what is read here must be what every client reads.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (error) {
    throw invalid('the manifest is not JSON in UTF-8', error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('the manifest is not a JSON object')
  }
  return value as Record<string, unknown>
}

const invalid = (message: string, cause?: unknown): RegistryError =>
  new RegistryError('manifest-invalid', {}, { message, cause })

const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Counts without parsing: outside of strings each comma, `{` and `[` begins a value. Bytes that are no JSON may be
 * counted wrongly, which does no harm: the parser ends at their first fault.
 */
function checkShape(bytes: Buffer): void {
  let depth = 0
  let values = 0
  for (let at = 0; at < bytes.length; at++) {
    switch (bytes[at]) {
      case QUOTE:
        at = endOfString(bytes, at)
        break
      case 0x7b: // {
      case 0x5b: // [
        values += 1
        depth += 1
        if (depth > DEPTH_MAX) throw invalid(`the manifest is nested deeper than ${DEPTH_MAX} levels`)
        break
      case 0x7d: // }
      case 0x5d: // ]
        depth -= 1
        break
      case 0x2c: // ,
        values += 1
    }
    if (values > VALUES_MAX) throw invalid(`the manifest has more than ${VALUES_MAX} values`)
  }
}

/** @returns the index of the quote that ends the string which begins at `start`; the length where none does */
function endOfString(bytes: Buffer, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    if (bytes[at] === QUOTE) return at
    if (bytes[at] === BACKSLASH) at += 1
  }
  return bytes.length
}
