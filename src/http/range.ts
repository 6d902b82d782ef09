import type { ByteRange } from '../storage/driver.ts'

/**
 * Reads a `Range` header (RFC 9110 section 14.2).
 *
 * @param size the representation's size in bytes
 * @returns both ends inclusive and inside the representation; `whole` where the header is to be ignored: none, several
 * ranges, another unit, malformed; `unsatisfiable` for 416
 */
export function parseRange(header: string | undefined, size: number): ByteRange | 'whole' | 'unsatisfiable' {
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '')
  if (match === null) return 'whole'
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? 'whole' : suffix(Number(last), size)
  // Beyond 2^53 two numbers that differ may look equal.
  if (last !== '' && BigInt(first) > BigInt(last)) return 'whole'
  const start = Number(first)
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) }
}

function suffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  if (length === 0 || size === 0) return 'unsatisfiable'
  return { start: Math.max(size - length, 0), end: size - 1 }
}
