/** What a pattern of repositories can be. A name has no other characters, so with one it could never count. */
export const REPOSITORY_PATTERN = /^[a-z0-9*](?:[a-z0-9._/*-]*[a-z0-9*])?$/

/**
 * The work of all matches in this process, in characters of a text that were looked at or compared. Tests bound a match by
 * it, since its time depends on the machine.
 */
export const matching = { steps: 0 }

type Part = { literal: string } | '*' | '**'

/**
 * Whether a text matches a pattern: `*` is any text without a slash, `**` any text. No regular expression is made of the
 * pattern, because one with several stars backtracks: a match takes at most (length of the text + 1) × (length of the
 * pattern + 1) steps, whatever both are.
 */
export function matcherOf(pattern: string): (text: string) => boolean {
  const parts = partsOf(pattern)
  const last = parts.at(-1)
  const suffix = typeof last === 'object' ? last.literal : ''
  return text => text.endsWith(suffix) && matchesAll(parts, text)
}

function partsOf(pattern: string): Part[] {
  const parts = pattern.split(/(\*\*?)/).filter(part => part !== '')
  return parts.map(part => (part === '*' || part === '**' ? part : { literal: part }))
}

/** Follows all ways of matching at once: after each part it has every place in the text at which that part may end. */
function matchesAll(parts: readonly Part[], text: string): boolean {
  let ends = [0]
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1
    if (typeof part === 'object') ends = endsOfLiteral(part.literal, text, ends)
    // A star at the end needs no list of places: the last place that was reached decides.
    else if (isLast) return part === '**' || !text.includes('/', ends.at(-1))
    else ends = endsOfStar(text, ends, part === '*' ? '/' : undefined)
    if (ends.length === 0) return false
  }
  return ends.at(-1) === text.length
}

function endsOfLiteral(literal: string, text: string, starts: readonly number[]): number[] {
  matching.steps += starts.length * literal.length
  return starts.filter(start => text.startsWith(literal, start)).map(start => start + literal.length)
}

/**
 * @param starts in ascending order, as the result is
 * @param stop the character that the star does not take
 */
function endsOfStar(text: string, starts: readonly number[], stop: string | undefined): number[] {
  const ends: number[] = []
  for (const start of starts) {
    // An earlier start has reached all that this one can.
    if (start <= (ends.at(-1) ?? -1)) continue
    for (let end = start; end <= text.length; end++) {
      ends.push(end)
      if (text[end] === stop) break
    }
  }
  matching.steps += ends.length + starts.length
  return ends
}

/**
 * Whether a tag of a repository is what one of the patterns says: `v*` for tags of every repository, `team/**:v*` for
 * those of some. Undefined for no patterns: no tag is.
 */
export function tagMatcherOf(patterns: readonly string[]): ((repository: string, tag: string) => boolean) | undefined {
  if (patterns.length === 0) return undefined
  const matchers = patterns.map(pattern => {
    const colon = pattern.indexOf(':')
    return {
      repository: matcherOf(colon === -1 ? '**' : pattern.slice(0, colon)),
      tag: matcherOf(pattern.slice(colon + 1))
    }
  })
  return (repository, tag) => matchers.some(matcher => matcher.tag(tag) && matcher.repository(repository))
}
