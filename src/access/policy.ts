import { isRepository } from '../registry/names.ts'
import { matcherOf } from '../registry/patterns.ts'
import type { Caller, RepositoryAction } from './caller.ts'
import { type ClaimPatterns, claimsMatcherOf } from './claims.ts'

/** What one rule lets somebody do. Rules only add: what none of them allows is denied. */
export interface Rule {
  /** `*` is everybody who has logged in. */
  users?: readonly string[] | undefined
  groups?: readonly string[] | undefined
  /** What an issuer has to say of somebody, `iss` among it. */
  claims?: ClaimPatterns | undefined
  /** For everybody, whether they have logged in or not. */
  anonymous?: true | undefined
  /** In a pattern, `*` is any text without a slash and `**` any text. */
  repositories: readonly string[]
  /** `*` is all of them. */
  actions: readonly (RepositoryAction | '*')[]
}

export interface PolicyRules {
  /** The users of each group. */
  groups?: Readonly<Record<string, readonly string[]>> | undefined
  rules: readonly Rule[]
}

/** The rules where there is no policy file: who has logged in may do everything, others nothing, or pull. */
export const simpleRules = (anonymous: 'none' | 'pull'): PolicyRules => ({
  rules: [
    { users: ['*'], repositories: ['**'], actions: ['*'] },
    ...(anonymous === 'pull' ? [{ anonymous: true as const, repositories: ['**'], actions: ['pull' as const] }] : [])
  ]
})

export type Policy = ReturnType<typeof createPolicy>

/** Who may do what, where. */
export function createPolicy({ rules, groups = {} }: PolicyRules) {
  const compiled = rules.map((rule, index) => {
    const users = new Set([...(rule.users ?? []), ...(rule.groups ?? []).flatMap(group => groups[group] ?? [])])
    const hasClaims = rule.claims && claimsMatcherOf(rule.claims)
    // Only the rule's own `*` is everybody: a group can't have it.
    const everyUser = rule.users?.includes('*') ?? false
    return {
      number: index + 1,
      rule,
      everywhere: rule.repositories.includes('**'),
      covers: anyOf(rule.repositories),
      permits: (action: RepositoryAction) => rule.actions.includes('*') || rule.actions.includes(action),
      isFor: ({ user, groups = [], claims }: Caller) =>
        rule.anonymous === true ||
        (user !== undefined && (everyUser || users.has(user))) ||
        groups.some(group => rule.groups?.includes(group)) ||
        (claims !== undefined && hasClaims?.(claims) === true)
    }
  })
  const rulesFor = (caller: Caller, action: RepositoryAction) =>
    compiled.filter(rule => rule.permits(action) && rule.isFor(caller))

  /**
   * The number of the first rule that lets the caller do this, from 1, and the rule; undefined: none does. No rule covers
   * what can't be the name of a repository, and its patterns are not asked about it: names come from URLs, of any length.
   */
  function decide(
    caller: Caller,
    action: RepositoryAction,
    repository: string
  ): { number: number; rule: Rule } | undefined {
    if (!isRepository(repository)) return undefined
    return compiled.find(rule => rule.permits(action) && rule.covers(repository) && rule.isFor(caller))
  }

  return {
    rules,
    decide,
    allows: (caller: Caller, action: RepositoryAction, repository: string): boolean =>
      decide(caller, action, repository) !== undefined,
    /** Whether there may be a repository in which the caller may do this. */
    allowsSomewhere: (caller: Caller, action: RepositoryAction): boolean => rulesFor(caller, action).length > 0,
    /** Whether the caller may do this in every repository by a single rule. */
    allowsEverywhere: (caller: Caller, action: RepositoryAction): boolean =>
      rulesFor(caller, action).some(rule => rule.everywhere)
  }
}

function anyOf(patterns: readonly string[]): (repository: string) => boolean {
  const matchers = patterns.map(matcherOf)
  return repository => matchers.some(matches => matches(repository))
}
