/**
 * Reads `Accept` (RFC 9110 section 12.5.1).
 *
 * @param header one header, or each of several; q-values and wildcards count, other parameters of a type do not
 * @returns tells of a media type whether the client takes it; without a header, or with nothing legible in it, or longer than 8 KiB, every type
 */
export function acceptPredicate(header: string | readonly string[] | undefined): (mediaType: string) => boolean {
  const text = typeof header === 'string' ? header : (header ?? []).join(',')
  if (text.length > LONGEST) return () => true
  const qualities = new Map<string, number>()
  for (const part of text.match(listItems) ?? []) {
    const range = parseMediaRange(part)
    if (range !== undefined) qualities.set(range.type, Math.max(range.quality, qualities.get(range.type) ?? 0))
  }
  if (qualities.size === 0) return () => true
  return mediaType => {
    const [type = ''] = mediaType.toLowerCase().split(';', 1)
    const exact = type.trim()
    const family = `${exact.slice(0, exact.indexOf('/'))}/*`
    // The most specific range decides (RFC 9110 section 12.5.1), so `q=0` beside `*/*` excludes.
    return (qualities.get(exact) ?? qualities.get(family) ?? qualities.get('*/*') ?? 0) > 0
  }
}

/** Clients send some hundred bytes. To read as much as a head may have would keep all others waiting. */
const LONGEST = 8 * 1024

// Commas and semicolons inside a quoted parameter separate nothing.
const listItems = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g
const parameters = /(?:[^;"]|"(?:[^"\\]|\\.)*"?)+/g

interface MediaRange {
  /** Lower-cased, without parameters: `a/b`, `a/*` or a star on both sides. */
  type: string
  quality: number
}

function parseMediaRange(item: string): MediaRange | undefined {
  const [first = '', ...rest] = item.match(parameters) ?? []
  const text = first.trim().toLowerCase()
  // Some Java clients shorten the widest range to a single star.
  const type = text === '*' ? '*/*' : text
  if (!/^[!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+$/.test(type)) return undefined
  const weight = rest.map(parameter => /^\s*q\s*=(.*)$/is.exec(parameter)?.[1]).find(value => value !== undefined)
  const quality = weight === undefined ? 1 : parseQuality(weight.trim())
  return quality === undefined ? undefined : { type, quality }
}

function parseQuality(text: string): number | undefined {
  const quality = /^(?:\d(?:\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN
  return quality <= 1 ? quality : undefined
}
