import { createBuffers } from './buffers.ts'
import type { StorageDriver } from './driver.ts'
import { type BucketOptions, openBucket } from './s3/bucket.ts'
import { checkBucket } from './s3/check.ts'
import { S3_DEFAULTS } from './s3/defaults.ts'
import type { Dialect } from './s3/dialect.ts'
import { storageError } from './s3/errors.ts'
import { createObjects } from './s3/objects.ts'
import { createBudget } from './s3/parts.ts'
import { createUploads } from './s3/uploads.ts'
import { createLocalWrites, createWrites, type Writes } from './s3/writes.ts'

export interface S3Options extends BucketOptions {
  /** Bytes of the first parts of a multipart upload: 5 MiB to 5 GiB. Default 8 MiB. */
  partSize?: number
  /** Whether later parts are larger; some servers want all but the last to be equal. Default true. */
  partGrowth?: boolean
}

export interface S3Driver extends StorageDriver {
  /**
   * What the server is able to do. Conditions that it does not honour are checked in this process: another one on the same
   * bucket might write over what this one wrote.
   */
  readonly dialect: Readonly<Dialect>
}

/**
 * Opens a bucket as a store. Any number of processes may use the same one.
 *
 * @throws StorageError `failed`, in one sentence for the operator, when the bucket can't be used
 */
export async function openS3(options: S3Options): Promise<S3Driver> {
  const {
    partSize = S3_DEFAULTS.partSize,
    partGrowth = S3_DEFAULTS.partGrowth,
    bufferMemory = S3_DEFAULTS.bufferMemory
  } = options
  const bucket = await openBucket(options)
  await checkBucket(bucket, options).catch(error => {
    bucket.client.destroy()
    throw error
  })
  const { dialect } = bucket
  const writesWhere = (conditional: boolean): Writes => (conditional ? createWrites() : createLocalWrites(bucket))
  const writes = writesWhere(dialect.conditionalPuts)
  const completions = writesWhere(dialect.conditionalCompletes)
  const plan = { size: partSize, grows: partGrowth }
  const objects = createObjects(bucket, writes, createBuffers(bufferMemory))
  const uploads = createUploads({ bucket, writes, completions, plan, budget: createBudget(bufferMemory) })

  const translated =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      try {
        return await work(...args)
      } catch (error) {
        throw storageError(error, bucket.name)
      }
    }
  const append = translated(uploads.append)

  return {
    name: 's3',
    dialect,
    stat: translated(objects.stat),
    get: translated(objects.get),
    read: translated(async (key, range) => {
      const body = await objects.read(key, range)
      return body && { size: body.size, chunks: translatedChunks(body.chunks, bucket.name) }
    }),
    put: translated(objects.put),
    delete: translated(objects.delete),
    list: translated(objects.list),
    url: translated(objects.url),
    upload: translated(uploads.upload),
    append: async (id, source, options) => {
      const { size, sourceFailed } = await append(id, source, options)
      if (sourceFailed) throw sourceFailed.error
      return size
    },
    commit: translated(uploads.commit),
    abort: translated(uploads.abort),
    listUploads: () => translatedChunks(uploads.listUploads(), bucket.name),
    close: async () => bucket.client.destroy()
  }
}

async function* translatedChunks<T>(chunks: AsyncIterable<T>, bucket: string): AsyncGenerator<T> {
  try {
    yield* chunks
  } catch (error) {
    throw storageError(error, bucket)
  }
}
