import { RegistryError } from '../registry/errors.ts'
import type { Attempter } from './attempts.ts'
import { type Action, ANONYMOUS, type Caller, type Credentials, type Proof, type RepositoryAction } from './caller.ts'
import type { Policy } from './policy.ts'
import type { Access as ScopeAccess } from './scope.ts'

/** Who guesses, and how. */
export interface Attempt {
  /** Where from. */
  from(): string
  /**
   * Does the work of a guess, once it is its turn. Throws `too-many-requests` where it can't be soon.
   *
   * @param id the same for the same name and password, which it does not tell
   */
  try<T>(id: string, work: () => Promise<T | undefined>): Promise<T | undefined>
}

/**
 * One way of finding out whose credentials these are: undefined where they are nobody's that it knows. What somebody could
 * guess, and it does not know from before, good or bad, it finds out in an attempt.
 */
export type Login = (credentials: Credentials, attempt: Attempt) => Promise<Caller | undefined>

export interface Tokens {
  /** Whose token it is. Throws `unauthorized`. */
  verify(token: string): Promise<Caller>
  /** Whether what a token grants is all that counts; else the policy has to allow it as well. */
  decide: boolean
  /** Whether this registry issues them, by its policy. */
  own: boolean
}

export interface AccessOptions {
  /** The ways of logging in with a user and a password, in the order in which they are tried. */
  logins: readonly Login[]
  /** Whether clients may have certificates. */
  certificates: boolean
  /** Whether there is such a user, whoever claims to be it. */
  knows: (user: string) => boolean
  /** Counts the attempts of whoever tries. */
  attempts: <T>(by: Attempter, id: string, work: () => Promise<T | undefined>) => Promise<T | undefined>
  /** Undefined: there are no tokens. */
  tokens?: Tokens | undefined
  /** The policy as it is now. */
  policy: () => Policy
}

const ACTIONS: readonly RepositoryAction[] = ['pull', 'push', 'delete']

/** Who calls, and whether they may. It knows no HTTP: credentials come in, answers or errors go out. */
export function createAccess({ logins, knows, certificates, attempts, tokens, policy }: AccessOptions) {
  // Where nobody can log in, nobody is asked to.
  const canLogIn = logins.length > 0 || certificates || tokens !== undefined

  /**
   * Whose credentials or token these are; without any, who the certificate of the connection says, if it has one; else
   * the caller is anonymous. Throws `unauthorized` where they are wrong, `too-many-requests` after too many wrong ones.
   *
   * @param address where from, for who guesses
   */
  async function identify(
    proof: Proof | undefined,
    certified: Caller | undefined,
    address: () => string
  ): Promise<Caller> {
    if (!proof) return certified ?? ANONYMOUS
    if ('token' in proof) {
      if (!tokens) throw new RegistryError('unauthorized')
      return tokens.verify(proof.token)
    }
    const { user } = proof
    const attempt: Attempt = { from: address, try: (id, work) => attempts({ address: address(), user }, id, work) }
    for (const login of logins) {
      const caller = await login(proof, attempt)
      if (caller) return caller
    }
    throw new RegistryError('unauthorized')
  }

  /** What decides about a caller. */
  const rightsOf = (caller: Caller): Policy => caller.rights ?? policy()

  /** Whether the caller may do this in a repository, be it there or not. */
  function may(caller: Caller, action: RepositoryAction, repository: string): boolean {
    if (caller.grants && !caller.grants.allows(action, repository)) return false
    return decidesAlone(caller) || rightsOf(caller).allows(caller, action, repository)
  }

  /**
   * Throws `denied` where the caller may not, and `unauthorized` where somebody who says who they are might, or where
   * another token would do. It does not look whether the repository is there: what is absent and what is forbidden look
   * the same.
   */
  function check(caller: Caller, action: Action, repository: string): void {
    if (action === 'open' || allows(caller, action, repository)) return
    const { grants, ...owner } = caller
    if (grants && (tokens?.decide || allows(owner, action, repository))) {
      throw new RegistryError('unauthorized', { reason: 'insufficient_scope' })
    }
    throw new RegistryError(caller.user === undefined && canLogIn ? 'unauthorized' : 'denied')
  }

  /**
   * For a mount from a repository that the caller's token does not let them pull. Throws `unauthorized` where they would get
   * a token that does. Elsewhere the mount becomes an upload, because a refusal that no token heals ends a push
   * (containerd#14086, buildkit#3509, moby#20387).
   */
  function checkMount(caller: Caller, source: string): void {
    const { grants, ...owner } = caller
    if (!tokens?.own || !grants || grants.allows('pull', source) || !may(owner, 'pull', source)) return
    throw new RegistryError('unauthorized', { reason: 'insufficient_scope' })
  }

  function allows(caller: Caller, action: Exclude<Action, 'open'>, repository: string): boolean {
    if (action === 'login') return isKnown(caller) || !canLogIn
    if (action !== 'catalog') return may(caller, action, repository)
    if (caller.grants && !caller.grants.catalog) return false
    return decidesAlone(caller) || caller.user !== undefined || rightsOf(caller).allowsSomewhere(caller, 'pull')
  }

  const isKnown = ({ user, grants }: Caller): boolean => user !== undefined || grants !== undefined
  const decidesAlone = ({ grants }: Caller): boolean => grants !== undefined && tokens?.decide === true

  /**
   * Tells of a repository whether the caller may pull it; undefined: they may pull all.
   *
   * @param listing for the list of repositories: a token grants that as one thing, and not each repository in it
   */
  function readable(caller: Caller, listing = false): ((repository: string) => boolean) | undefined {
    if (caller.grants && !listing) return repository => may(caller, 'pull', repository)
    if (decidesAlone(caller) || rightsOf(caller).allowsEverywhere(caller, 'pull')) return undefined
    return repository => rightsOf(caller).allows(caller, 'pull', repository)
  }

  /** Of what somebody asks for, what they may. */
  function grant(caller: Caller, asked: readonly ScopeAccess[]): ScopeAccess[] {
    return asked.flatMap(({ type, name, actions }) => {
      const wanted = (action: string) => actions.includes(action) || actions.includes('*')
      const given =
        type === 'repository'
          ? ACTIONS.filter(action => wanted(action) && may(caller, action, name))
          : [
              type === 'registry' && name === 'catalog' && wanted('*') && allows(caller, 'catalog', '') ? '*' : []
            ].flat()
      return given.length > 0 ? [{ type, name, actions: given }] : []
    })
  }

  /** Whether somebody who has not logged in may do anything at all. */
  const isOpen = (): boolean => ACTIONS.some(action => policy().allowsSomewhere(ANONYMOUS, action))

  return { identify, knows, may, check, checkMount, readable, grant, isOpen }
}

export type Access = ReturnType<typeof createAccess>
