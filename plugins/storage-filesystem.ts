import fp from 'fastify-plugin'
import { SECRETS } from '../src/registry/keys.ts'
import { openFilesystem } from '../src/storage/filesystem.ts'
import { guard, type StorageObserver } from '../src/storage/guard.ts'

export interface FilesystemStorageOptions {
  /** The folder that holds the registry; made if need be. */
  path: string
  /** Memory for buffers of uploads and downloads, in bytes. */
  bufferMemoryBytes: number
  /** Whether the folder is only read. */
  readOnly?: boolean | undefined
  observer?: StorageObserver | undefined
}

/** Storage on a folder. Decorates `storage`. Throws StorageError with a sentence for the operator if it can't be used. */
export default fp<FilesystemStorageOptions>(
  async (app, { path, bufferMemoryBytes, readOnly = false, observer }) => {
    const driver = await openFilesystem({
      path,
      bufferMemory: bufferMemoryBytes,
      readOnly,
      privatePrefixes: SECRETS
    })
    for (const sentence of driver.exposed) app.log.warn(sentence)
    if (driver.ignoresCase) {
      app.log.warn(
        { folder: path },
        'this folder ignores case: a tag that differs from another in case only is refused'
      )
    }
    app.decorate('storage', guard(driver, app.log, observer))
    app.addHook('onClose', () => driver.close())
  },
  { name: 'storage', fastify: '5.x' }
)
