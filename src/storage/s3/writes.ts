import { HeadObjectCommand } from '@aws-sdk/client-s3'
import type { Bucket } from './bucket.ts'
import { isAbsent, isLost, patiently } from './errors.ts'

/** What must be so for a write to happen: there is no object, or it is still the one with this ETag. */
export type Condition = 'absent' | { etag: string } | undefined

/** The condition as S3's requests take it. */
export interface ConditionHeaders {
  IfNoneMatch?: '*'
  IfMatch?: string
}

export interface Writes {
  /** Sends a write that happens only if the condition is met; undefined: it is not. */
  when<T>(key: string, condition: Condition, send: (headers: ConditionHeaders) => Promise<T>): Promise<T | undefined>
}

/**
 * Conditional writes, by the server.
 *
 * A write whose answer got lost is sent again, and then finds itself: `undefined` may come for a write that happened.
 */
export function createWrites(): Writes {
  return {
    when: async (_, condition, send) => {
      try {
        return await patiently(() => send(headersOf(condition)))
      } catch (error) {
        // With If-Match there is nothing to match where the object is gone.
        if (condition && (isLost(error) || (condition !== 'absent' && isAbsent(error)))) return undefined
        throw error
      }
    }
  }
}

function headersOf(condition: Condition): ConditionHeaders {
  if (condition === undefined) return {}
  return condition === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.etag }
}

/**
 * Conditional writes for a server that knows none: a look before each, one write to a key at a time. It holds among the
 * requests of one process.
 */
export function createLocalWrites(bucket: Bucket): Writes {
  const turns = new Map<string, Promise<unknown>>()
  const inTurn = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = turns.get(key) ?? Promise.resolve()
    const turn = before.then(work, work)
    turns.set(key, turn)
    try {
      return await turn
    } finally {
      if (turns.get(key) === turn) turns.delete(key)
    }
  }
  return {
    when: (key, condition, send) =>
      inTurn(key, async () => {
        const etag = condition && (await etagOf(bucket, key))
        const met = condition === undefined || etag === (condition === 'absent' ? undefined : condition.etag)
        return met ? patiently(() => send({})) : undefined
      })
  }
}

async function etagOf(bucket: Bucket, key: string): Promise<string | undefined> {
  try {
    return (await bucket.client.send(new HeadObjectCommand(bucket.at(key)))).ETag
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}
