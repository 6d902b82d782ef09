import { RegistryError } from '../registry/errors.ts'
import type { Attempter } from './attempts.ts'
import { type Action, ANONYMOUS, type Caller, type Credentials, type RepositoryAction } from './caller.ts'
import type { Policy } from './policy.ts'

/** Does the work of a guess. Throws `too-many-requests` where there have been too many that came to nothing. */
export type Attempt = <T>(work: () => Promise<T | undefined>) => Promise<T | undefined>

/**
 * One way of finding out whose credentials these are: undefined where they are nobody's that it knows. What it does not
 * know from before, good or bad, it finds out in an attempt.
 */
export type Login = (credentials: Credentials, attempt: Attempt) => Promise<Caller | undefined>

export interface AccessOptions {
  /** The ways of logging in with a user and a password, in the order in which they are tried. */
  logins: readonly Login[]
  /** Whether there is such a user, whoever claims to be it. */
  knows: (user: string) => boolean
  /** Whether clients may have certificates. */
  certificates: boolean
  /** Counts the attempts of whoever tries. */
  attempts: <T>(by: Attempter, work: () => Promise<T | undefined>) => Promise<T | undefined>
  /** The policy as it is now. */
  policy: () => Policy
}

/** Who calls, and whether they may. It knows no HTTP: credentials come in, answers or errors go out. */
export function createAccess({ logins, knows, certificates, attempts, policy }: AccessOptions) {
  // Where nobody can log in, nobody is asked to.
  const canLogIn = logins.length > 0 || certificates

  /**
   * Whose credentials these are; without any, who the certificate of the connection says, if it has one; else the caller
   * is anonymous. Throws `unauthorized` where credentials are wrong, `too-many-requests` after too many wrong ones.
   *
   * @param address where from, for who guesses
   */
  async function identify(
    credentials: Credentials | undefined,
    certified: string | undefined,
    address: () => string
  ): Promise<Caller> {
    if (!credentials) return certified === undefined ? ANONYMOUS : { user: certified }
    const attempt: Attempt = work => attempts({ address: address(), user: credentials.user }, work)
    for (const login of logins) {
      const caller = await login(credentials, attempt)
      if (caller) return caller
    }
    throw new RegistryError('unauthorized')
  }

  /** What decides about a caller. */
  const rightsOf = (caller: Caller): Policy => caller.rights ?? policy()

  /** Whether the caller may do this in a repository, be it there or not. */
  function may(caller: Caller, action: RepositoryAction, repository: string): boolean {
    return rightsOf(caller).allows(caller, action, repository)
  }

  /**
   * Throws `denied` where the caller may not, and `unauthorized` where somebody who says who they are might. It does not
   * look whether the repository is there: what is absent and what is forbidden look the same.
   */
  function check(caller: Caller, action: Action, repository: string): void {
    if (action === 'open' || allows(caller, action, repository)) return
    throw new RegistryError(caller.user === undefined && canLogIn ? 'unauthorized' : 'denied')
  }

  function allows(caller: Caller, action: Exclude<Action, 'open'>, repository: string): boolean {
    if (action === 'login') return caller.user !== undefined || !canLogIn
    if (action === 'catalog') return caller.user !== undefined || rightsOf(caller).allowsSomewhere(caller, 'pull')
    return may(caller, action, repository)
  }

  /** Tells of a repository whether the caller may pull it; undefined: they may pull all. */
  function readable(caller: Caller): ((repository: string) => boolean) | undefined {
    if (rightsOf(caller).allowsEverywhere(caller, 'pull')) return undefined
    return repository => may(caller, 'pull', repository)
  }

  return { identify, knows, may, check, readable }
}

export type Access = ReturnType<typeof createAccess>
