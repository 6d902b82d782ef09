import type { ByteRange } from '../storage/driver.ts'

/** One Range header may ask for this many parts; of a header with more, the whole content is the answer. */
export const MOST_RANGES = 16

/**
 * Reads a `Range` header (RFC 9110 section 14.2).
 *
 * @param size the representation's size in bytes
 * @returns the parts to send, in ascending order, with both ends inclusive and inside the representation; `whole` where
 * the header is ignored: none, another unit, malformed, more than 16 ranges; `unsatisfiable` for 416
 */
export function parseRanges(header: string | undefined, size: number): ByteRange[] | 'whole' | 'unsatisfiable' {
  if (header === undefined) return 'whole'
  // Some clients leave out the unit. That is malformed too, but a range that ends before it starts is refused in both
  // forms, as main's conformance suite and zot have it (RFC 9110 section 14.2: a server may ignore or reject it).
  if (endsBeforeItStarts(header.trim())) return 'unsatisfiable'
  if (!/^bytes=/i.test(header)) return 'whole'
  const specs = header
    .slice('bytes='.length)
    .split(',', LONGEST_LIST)
    .map(spec => spec.trim())
    .filter(spec => spec !== '')
  if (specs.length === 0 || specs.length > MOST_RANGES || !specs.every(spec => SPEC.test(spec))) return 'whole'
  if (specs.some(endsBeforeItStarts)) return 'unsatisfiable'
  const ranges = specs.flatMap(spec => resolve(spec, size))
  return ranges.length === 0 ? 'unsatisfiable' : merge(ranges)
}

/** Empty items of a list mean nothing (RFC 9110 section 5.6.1.2), so more of them are split than ranges are allowed. */
const LONGEST_LIST = 4 * MOST_RANGES
const SPEC = /^(?:\d+-\d*|-\d+)$/

/** Compares digits, because a header may hold numbers of any length and beyond 2^53 two of them may look equal. */
function endsBeforeItStarts(spec: string): boolean {
  if (!/^\d+-\d+$/.test(spec)) return false
  const [first, last] = spec.split('-').map(withoutZeros) as [string, string]
  return first.length === last.length ? first > last : first.length > last.length
}

/** A loop rather than an expression: `^0*(\d+)` would try each zero as the first digit, one after the other. */
function withoutZeros(digits: string): string {
  let zeros = 0
  while (zeros < digits.length - 1 && digits[zeros] === '0') zeros += 1
  return digits.slice(zeros)
}

/** No range where no byte of the representation is in it. */
function resolve(spec: string, size: number): ByteRange[] {
  const [first = '', last = ''] = spec.split('-')
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? [] : [{ start: size - length, end: size - 1 }]
  }
  const start = Number(first)
  if (start >= size) return []
  return [{ start, end: last === '' ? size - 1 : Math.min(Number(last), size - 1) }]
}

/**
 * Ranges that overlap become one, so that no answer sends a byte twice. Ranges that only touch stay apart: podman expects
 * one part for each range that it asked for, and asks for adjacent files in ranges that touch.
 */
function merge(ranges: ByteRange[]): ByteRange[] {
  const merged: ByteRange[] = []
  for (const range of ranges.sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1)
    if (last && range.start <= last.end) last.end = Math.max(last.end, range.end)
    else merged.push({ ...range })
  }
  return merged
}
