import type { Answer } from '../support/client.ts'

/** What stands under a resource's name: a digest, how many bytes of an upload; undefined: nothing. */
export type Value = string | number | undefined

export interface Change {
  resource: string
  to: Value
}

/** Requests that would make these changes, as they are sent and as they are answered. */
export interface LedgerEntry {
  kind: 'asked' | 'answered'
  changes: readonly Change[]
}

/** By resource: what may stand there. More than one where a request was not answered. */
export type Owed = Map<string, Set<Value>>

export interface Ledger {
  /** Sends a request that makes these changes when it is answered by one of the statuses; throws at any other answer. */
  ask(changes: readonly Change[], statuses: readonly number[], request: () => Promise<Answer>): Promise<Answer>
  /** From now on the changes may happen by themselves. */
  allow(changes: readonly Change[]): void
}

/** Names of resources. A repository has one writer, so that it is known what it must hold. */
export const blobOf = (repository: string, digest: string): string => `blob ${repository} ${digest}`
export const manifestOf = (repository: string, digest: string): string => `manifest ${repository} ${digest}`
export const tagOf = (repository: string, tag: string): string => `tag ${repository} ${tag}`
export const referrerOf = (repository: string, subject: string, digest: string): string =>
  `referrer ${repository} ${subject} ${digest}`
const SESSION = 'session '
/** An upload session by a Location that it was given; it has no bytes at first. */
export const sessionOf = (location: string): string => SESSION + location

export function createLedger(enter: (entry: LedgerEntry) => void): Ledger {
  return {
    ask: async (changes, statuses, request) => {
      enter({ kind: 'asked', changes })
      const answer = await request()
      if (!statuses.includes(answer.status)) {
        const asked = changes.map(({ resource, to }) => `${resource} to ${to}`).join(', ')
        throw new Error(`${answer.status} instead of ${statuses.join(' or ')} to a change of ${asked}\n${answer.body}`)
      }
      enter({ kind: 'answered', changes })
      return answer
    },
    allow: changes => enter({ kind: 'asked', changes })
  }
}

/** Adds an entry to what is owed. */
export function account(owed: Owed, { kind, changes }: LedgerEntry): void {
  for (const { resource, to } of changes) {
    const before = owed.get(resource) ?? new Set<Value>([resource.startsWith(SESSION) ? 0 : undefined])
    owed.set(resource, (kind === 'answered' ? new Set<Value>() : before).add(to))
  }
}

export const copyOf = (owed: Owed): Owed => new Map([...owed].map(([resource, values]) => [resource, new Set(values)]))
