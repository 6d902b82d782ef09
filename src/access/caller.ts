import type { Claims } from './claims.ts'
import type { Policy } from './policy.ts'
import type { Grants } from './scope.ts'

/** What can be done to a repository. */
export type RepositoryAction = 'pull' | 'push' | 'delete'

/**
 * What a route lets its caller do, and so whom it has to ask. Every route of the API declares one: `open` is for anybody,
 * `login` for everybody who has said who they are, `catalog` for whoever may pull something.
 */
export type Action = RepositoryAction | 'open' | 'login' | 'catalog'

/** Who sends a request. */
export interface Caller {
  /** Undefined: they have not said. */
  user?: string
  /** Groups that an issuer has put them in; those of the policy are not among them. */
  groups?: readonly string[]
  /** What an issuer says of them. */
  claims?: Claims
  /** All that they may do, whatever the policy says. Undefined: what the policy says. */
  rights?: Policy
  /**
   * When what they have proved who they are with ends, in ms since 1970: a robot, an ID token, a certificate. Nothing that
   * they get for it is good any longer. Undefined: it has no end.
   */
  ends?: number
  /** How to look for them again. Undefined: they have to log in anew. */
  renewal?: () => Renewal
  /** They came with a token, which lets them do this at most. */
  grants?: Grants
}

/** By what a caller is looked for again when a refresh token comes. None of it lets anybody in. */
export type Renewal = { by: 'password'; fingerprint: string } | { by: 'robot'; hash: string } | { by: 'issuer' }

export const ANONYMOUS: Caller = Object.freeze({})

export interface Credentials {
  user: string
  password: string
}

/** By what a client says who it is. */
export type Proof = Credentials | { token: string }
