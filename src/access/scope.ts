import { isRepository } from '../registry/names.ts'
import type { Action, RepositoryAction } from './caller.ts'

/** One thing that somebody is let do, in the form of the Docker token protocol: an item of a token's `access` claim. */
export interface Access {
  /** `repository` or `registry`; others mean nothing here. */
  type: string
  name: string
  /** `*` is all of them. */
  actions: readonly string[]
}

/** What a token lets whoever has it do, and nothing else. */
export interface Grants {
  allows(action: RepositoryAction, repository: string): boolean
  /** Whether the list of repositories is granted. */
  catalog: boolean
}

/**
 * Reads scopes as clients write them, `repository:team/app:pull,push registry:catalog:*`, several joined by spaces or in
 * several texts. A name may have colons of its own. What is no scope, or is for
 * what can't be a repository's name, is left out.
 */
export function parseScopes(texts: readonly string[]): Access[] {
  return texts.flatMap(text => text.split(' ')).flatMap(scope => parseScope(scope) ?? [])
}

function parseScope(scope: string): Access | undefined {
  const [first, last] = [scope.indexOf(':'), scope.lastIndexOf(':')]
  const type = /^([a-z0-9]+)(?:\([a-z0-9]+\))?$/.exec(scope.slice(0, Math.max(first, 0)))?.[1]
  const name = scope.slice(first + 1, last)
  if (!type || !name || last <= first) return undefined
  if (type === 'repository' && !isRepository(name)) return undefined
  const actions = scope.slice(last + 1).split(',')
  return { type, name, actions: actions.filter(action => action !== '') }
}

/** A scope as clients write it. */
export const scopeText = ({ type, name, actions }: Access): string => `${type}:${name}:${actions.join(',')}`

/** What has to be granted for a request, as clients ask for it; undefined: being known is enough. */
export function scopeFor(action: Action, repository: string): Access | undefined {
  if (action === 'open' || action === 'login') return undefined
  if (action === 'catalog') return { type: 'registry', name: 'catalog', actions: ['*'] }
  // Clients look what is there before they push it.
  return { type: 'repository', name: repository, actions: action === 'push' ? ['pull', 'push'] : [action] }
}

/** Reads a token's `access` claim. What is malformed in it grants nothing. */
export function grantsOf(claim: unknown): Grants {
  const granted = new Map<string, Set<string>>()
  for (const { type, name, actions } of Array.isArray(claim) ? claim.filter(isAccess) : []) {
    const key = `${type}:${name}`
    granted.set(key, new Set([...(granted.get(key) ?? []), ...actions]))
  }
  const has = (key: string, action: string) => {
    const actions = granted.get(key)
    return actions !== undefined && (actions.has(action) || actions.has('*'))
  }
  return {
    allows: (action, repository) => has(`repository:${repository}`, action),
    catalog: has('registry:catalog', '*')
  }
}

function isAccess(item: unknown): item is Access {
  const { type, name, actions } = (item ?? {}) as Partial<Record<keyof Access, unknown>>
  return typeof type === 'string' && typeof name === 'string' && Array.isArray(actions)
}
