/** What a pattern of repositories can be. A name has no other characters, so with one it could never count. */
export const REPOSITORY_PATTERN = /^[a-z0-9*](?:[a-z0-9._/*-]*[a-z0-9*])?$/

/** Whether a name is what a pattern says: `*` is any text without a slash, `**` any text. */
export function matcherOf(pattern: string): (name: string) => boolean {
  const parts = pattern.split(/(\*\*?)/).map(part => {
    if (part === '**') return '.*'
    return part === '*' ? '[^/]*' : part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&')
  })
  const matcher = new RegExp(`^${parts.join('')}$`)
  return name => matcher.test(name)
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
