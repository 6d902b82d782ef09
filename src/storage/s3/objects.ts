import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { Buffers } from '../buffers.ts'
import { type ByteRange, type ObjectBody, type ObjectStat, type ObjectStore, StorageError } from '../driver.ts'
import { collect, readBody } from './body.ts'
import type { Bucket } from './bucket.ts'
import { isAbsent, isOutOfRange, patiently } from './errors.ts'
import { list } from './listing.ts'
import { remove } from './removal.ts'
import { ordinary, TEMPORARY } from './reserved.ts'
import type { Writes } from './writes.ts'

/** How long a bucket that was seen is taken to be there. */
const SEEN_MS = 5000

export function createObjects(bucket: Bucket, writes: Writes, buffers: Buffers): ObjectStore {
  const stat = createStat(bucket)

  async function read(key: string, range?: ByteRange): Promise<ObjectBody | undefined> {
    if (range && (range.start < 0 || range.end < range.start)) return outOfRange(await stat(key), range)
    try {
      const Range = range && `bytes=${range.start}-${range.end}`
      const answer = await bucket.client.send(new GetObjectCommand({ ...bucket.at(key), ...(Range && { Range }) }))
      const length = answer.ContentLength ?? 0
      const size = Number(answer.ContentRange?.split('/')[1] ?? length)
      const start = answer.ContentRange ? (range?.start ?? 0) : 0
      return { size, chunks: readBody(bucket, key, answer, { start, end: start + length - 1 }, buffers) }
    } catch (error) {
      if (isAbsent(error)) return undefined
      if (range && isOutOfRange(error)) return outOfRange(await stat(key), range)
      throw error
    }
  }

  return {
    stat: async key => stat(ordinary(key)),
    read: async (key, range) => read(ordinary(key), range),
    list: (prefix, options) => list(bucket, prefix, options),
    get: async key => {
      try {
        return await patiently(async () => {
          const answer = await bucket.client.send(new GetObjectCommand(bucket.at(ordinary(key))))
          return { bytes: await collect(answer), ageMs: bucket.ageMs(answer.LastModified) }
        })
      } catch (error) {
        if (isAbsent(error)) return undefined
        throw error
      }
    },
    put: async (key, bytes, { ifAbsent = false } = {}) => {
      const written = await writes.when(ordinary(key), ifAbsent ? 'absent' : undefined, condition =>
        bucket.client.send(new PutObjectCommand({ ...bucket.at(key), ...bucket.encryption, ...condition, Body: bytes }))
      )
      return written !== undefined
    },
    delete: (keys, { ordered = false } = {}) => remove(bucket, keys.map(ordinary), { ordered }),
    url: async (key, { expiresMs }) =>
      getSignedUrl(bucket.client, new GetObjectCommand(bucket.at(ordinary(key))), {
        expiresIn: Math.max(1, Math.floor(expiresMs / 1000))
      })
  }
}

export type Stat = (key: string) => Promise<ObjectStat | undefined>

/** HEAD has no body to tell a missing bucket from a missing object, so that is looked at now and then. */
export function createStat(bucket: Bucket): Stat {
  let seenAt = Number.NEGATIVE_INFINITY
  return async key => {
    try {
      const answer = await bucket.client.send(new HeadObjectCommand(bucket.at(key)))
      return { size: answer.ContentLength ?? 0, ageMs: bucket.ageMs(answer.LastModified) }
    } catch (error) {
      if (!isAbsent(error)) throw error
      if (performance.now() - seenAt > SEEN_MS) {
        await seeBucket(bucket)
        seenAt = performance.now()
      }
      return undefined
    }
  }
}

/**
 * Reads a key that never exists: the answer to a GET names what is missing, and it takes no right that the driver does not
 * need anyway. HeadBucket does: some keys may use the objects of a bucket alone.
 *
 * @throws RequestFailed when the bucket is gone, or may not be read
 */
export async function seeBucket({ client, at }: Bucket): Promise<void> {
  try {
    await collect(await client.send(new GetObjectCommand(at(`${TEMPORARY}none`))))
  } catch (error) {
    if (!isAbsent(error)) throw error
  }
}

/** @throws StorageError `range`; returns undefined where there is no object */
function outOfRange(stat: ObjectStat | undefined, { start, end }: ByteRange): undefined {
  if (!stat) return undefined
  throw new StorageError('range', `bytes ${start}-${end} of ${stat.size}`, { size: stat.size })
}
