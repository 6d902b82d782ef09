import type { Caller, RepositoryAction } from './caller.ts'

/** Who may do what, where. */
export interface Policy {
  allows(caller: Caller, action: RepositoryAction, repository: string): boolean
  /** Whether there may be a repository in which the caller may do this. */
  allowsSome(caller: Caller, action: RepositoryAction): boolean
}

/** The policy where none is given: who has logged in may do everything, others nothing, or pull. */
export function simplePolicy(anonymous: 'none' | 'pull'): Policy {
  const allows = ({ user }: Caller, action: RepositoryAction): boolean =>
    user !== undefined || (anonymous === 'pull' && action === 'pull')
  return { allows, allowsSome: allows }
}
