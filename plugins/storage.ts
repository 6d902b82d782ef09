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
  /** Whether the storage is only read, so that a folder may be a read-only mount. */
  readOnly?: boolean | undefined
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
  async (app: FastifyInstance, { storage, bufferMemoryBytes, readOnly, observer }) => {
    const problem = problemOf(storage)
    if (problem) throw new TypeError(problem)
    if ('path' in storage) {
      await app.register(storageFilesystem, { path: storage.path, bufferMemoryBytes, readOnly, observer })
    } else if ('s3' in storage) {
      await app.register(await loadS3(), { ...storage.s3, bufferMemory: bufferMemoryBytes, observer })
    } else {
      await app.register(storageDriver, { driver: storage, observer })
    }
  },
  { fastify: '5.x' }
)

const ALLOWED = '{ path }, a folder; { s3: { bucket, region } }, a bucket; or a driver'
const METHODS = [
  ...['stat', 'get', 'read', 'put', 'delete', 'list', 'url'],
  ...['upload', 'append', 'commit', 'abort', 'listUploads', 'close']
]

/** Why that is no storage, whatever a host without types gives; undefined: it is. */
function problemOf(storage: unknown): string | undefined {
  if (typeof storage !== 'object' || storage === null) return `storage is ${storage}; allowed: ${ALLOWED}`
  const given = storage as Record<string, unknown>
  if ('path' in given) {
    return typeof given.path === 'string' && given.path !== ''
      ? undefined
      : 'storage.path is not a text; allowed: the path of a folder'
  }
  if ('s3' in given) {
    const { bucket, region } = (given.s3 ?? {}) as Record<string, unknown>
    const named = typeof bucket === 'string' && typeof region === 'string'
    return named ? undefined : 'storage.s3 has no bucket or no region; allowed: both, as texts'
  }
  const missing = METHODS.filter(name => typeof given[name] !== 'function')
  if (missing.length === 0) return undefined
  return missing.length === METHODS.length
    ? `storage has none of its properties; allowed: ${ALLOWED}`
    : `storage is a driver without ${missing.join(', ')}; allowed: all methods of StorageDriver`
}
