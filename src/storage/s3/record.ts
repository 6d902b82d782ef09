import { randomBytes } from 'node:crypto'
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { LRUCache } from 'lru-cache'
import { StorageError, type UploadState } from '../driver.ts'
import { collect } from './body.ts'
import type { Bucket } from './bucket.ts'
import { isAbsent, patiently } from './errors.ts'
import type { PartPlan } from './parts.ts'
import { recordKey } from './reserved.ts'
import type { Writes } from './writes.ts'

/** Bytes that are no part yet: an object of their own. */
export interface Tail {
  key: string
  size: number
}

export interface Part {
  number: number
  etag: string
  size: number
}

/**
 * The state of an open upload. What it does not name, late parts and tails of a writer that lost the upload, is no part of
 * it: parts are completed by number and ETag, and tails are read by name.
 */
export interface UploadRecord {
  /** What the upload becomes. */
  key: string
  writer: string
  plan: PartPlan
  /** S3's id of the multipart upload; undefined until a first part is full. */
  multipart?: string | undefined
  parts: readonly Part[]
  /** The bytes after the parts. */
  tails: readonly Tail[]
  /** The number of the next part. */
  next: number
  /** Somebody is at it, or was until a crash: a multipart upload and a few parts more than are named here may be there. */
  open: boolean
  /** It was aborted, and what there is of it is being taken away. */
  aborted?: boolean
}

/** A record as it was seen, and by what to know whether it still is so. */
export interface Stored {
  record: UploadRecord
  etag: string
}

export function sizeOf({ parts, tails }: Pick<UploadRecord, 'parts' | 'tails'>): number {
  return [...parts, ...tails].reduce((sum, { size }) => sum + size, 0)
}

export function stateOf(record: UploadRecord | undefined): UploadState | undefined {
  return record && !record.aborted ? { size: sizeOf(record), writer: record.writer } : undefined
}

export function isAs(state: UploadState | undefined, from: UploadState | undefined): boolean {
  return state?.size === from?.size && state?.writer === from?.writer
}

export const conflict = (id: string, cause?: unknown): StorageError =>
  new StorageError('conflict', `upload ${id} is in another state`, { cause })

export const isConflict = (error: unknown): boolean => error instanceof StorageError && error.fault === 'conflict'

/** How many records, parts and tails together are kept in mind. What changed meanwhile is noticed by writing. */
const REMEMBERED = 20_000

/** The records of uploads: written only over the state that was seen. */
export function createRecords(bucket: Bucket, writes: Writes) {
  const seen = new LRUCache<string, Stored>({
    maxSize: REMEMBERED,
    sizeCalculation: ({ record }) => 1 + record.parts.length + record.tails.length
  })

  function remember(id: string, stored: Stored): Stored {
    seen.set(id, stored)
    return stored
  }

  async function load(id: string): Promise<Stored | undefined> {
    seen.delete(id)
    const found = await read(id)
    return found && remember(id, found)
  }

  async function read(id: string): Promise<(Stored & { stamp: string }) | undefined> {
    try {
      return await patiently(async () => {
        const answer = await bucket.client.send(new GetObjectCommand(bucket.at(recordKey(id))))
        const { stamp, ...record } = JSON.parse((await collect(answer)).toString()) as UploadRecord & { stamp: string }
        return { record, stamp, etag: answer.ETag ?? '' }
      })
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  }

  /**
   * @param before what it replaces; undefined: nothing
   * @throws StorageError `conflict` when that is not what is there
   */
  async function save(id: string, record: UploadRecord, before: Stored | undefined): Promise<Stored> {
    seen.delete(id)
    // No two records have the same bytes, so none has another's ETag.
    const stamp = randomBytes(8).toString('hex')
    const Body = Buffer.from(JSON.stringify({ ...record, stamp }))
    const key = recordKey(id)
    const answer = await writes.when(key, before ? { etag: before.etag } : 'absent', condition =>
      bucket.client.send(new PutObjectCommand({ ...bucket.at(key), ...bucket.encryption, ...condition, Body }))
    )
    if (answer) return remember(id, { record, etag: answer.ETag ?? '' })
    // The answer to a first try may have got lost.
    const found = await read(id)
    if (found?.stamp !== stamp) throw conflict(id)
    return remember(id, { record, etag: found.etag })
  }

  return {
    load,
    save,
    /** What this process saw last, if it is as `from` says; else what is there. */
    find: async (id: string, from: UploadState | undefined): Promise<Stored | undefined> => {
      const known = seen.get(id)
      return known && isAs(stateOf(known.record), from) ? known : load(id)
    },
    forget: (id: string): void => void seen.delete(id)
  }
}

export type Records = ReturnType<typeof createRecords>
