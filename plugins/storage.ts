import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { S3Settings } from '../src/config/s3.ts'
import type { StorageDriver } from '../src/storage/driver.ts'
import type { StorageObserver } from '../src/storage/guard.ts'
import storageDriver from './storage-driver.ts'
import storageFilesystem from './storage-filesystem.ts'

/** A folder, a bucket, or a driver of one's own. */
export type Storage = { path: string } | { s3: S3Storage } | StorageDriver

/** A bucket, its region, and what else is not as docs/configuration.md has it for `S3_…`. */
export type S3Storage = Pick<S3Settings, 'bucket' | 'region'> & Partial<S3Settings>

export interface StorageOptions {
  storage: Storage
  /** Memory for buffers of uploads and downloads, in bytes. */
  bufferMemoryBytes: number
  /** Told of every call of the driver. */
  observer?: StorageObserver | undefined
}

/**
 * Loaded when it is wanted, so that a registry on a folder never loads the AWS SDK. The import stands outside of the
 * default export because TypeScript does not rewrite its `.ts` in there (5.9).
 */
const loadS3 = async () => (await import('./storage-s3.ts')).default

/** Decorates `storage` and closes it with the app. Throws StorageError with a sentence for the operator if it can't be used. */
export default fp<StorageOptions>(
  async (app: FastifyInstance, { storage, bufferMemoryBytes, observer }) => {
    if ('path' in storage) {
      await app.register(storageFilesystem, { path: storage.path, bufferMemoryBytes, observer })
    } else if ('s3' in storage) {
      await app.register(await loadS3(), { ...storage.s3, bufferMemory: bufferMemoryBytes, observer })
    } else {
      await app.register(storageDriver, { driver: storage, observer })
    }
  },
  { fastify: '5.x' }
)
