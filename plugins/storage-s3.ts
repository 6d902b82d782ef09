import fp from 'fastify-plugin'
import { guard, type StorageObserver } from '../src/storage/guard.ts'
import { openS3, type S3Options } from '../src/storage/s3.ts'

/**
 * Storage in a bucket. Decorates `storage`. Throws StorageError with a sentence for the operator if it can't be used.
 * Whoever imports this loads the AWS SDK.
 */
export default fp<S3Options & { observer?: StorageObserver | undefined }>(
  async (app, { observer, ...options }) => {
    const driver = await openS3(options)
    const { bucket, endpoint } = options
    if (options.insecureSkipVerify) {
      app.log.warn(
        { endpoint },
        'S3_INSECURE_SKIP_VERIFY: whoever is between here and S3 can read and change everything; use S3_CA_FILE instead'
      )
    }
    if (!driver.conditionalWrites) {
      app.log.warn(
        { bucket, endpoint },
        'this server ignores the conditions of writes (If-None-Match, If-Match): run a single replica on this bucket, ' +
          "since two could write over each other's upload sessions"
      )
    }
    app.decorate('storage', guard(driver, app.log, observer))
    app.addHook('onClose', () => driver.close())
  },
  { name: 'storage', fastify: '5.x' }
)
