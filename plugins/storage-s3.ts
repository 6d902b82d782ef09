import fp from 'fastify-plugin'
import { guard, type StorageObserver } from '../src/storage/guard.ts'
import { openS3, type S3Driver, type S3Options } from '../src/storage/s3.ts'

/** What an operator has to know of a server that is not able to do all that S3 is. docs/s3.md has more. */
function shortcomingsOf({ conditionalPuts, conditionalCompletes, listsMultiparts }: S3Driver['dialect']): string[] {
  const found: string[] = []
  if (!conditionalPuts) {
    found.push(
      'this server ignores the conditions of writes (If-None-Match, If-Match): run a single replica on this bucket, ' +
        "since two could write over each other's upload sessions"
    )
  } else if (!conditionalCompletes) {
    found.push(
      'this server knows no condition of CompleteMultipartUpload (If-None-Match): one replica loses nothing; of several ' +
        'that finish the same upload at the same moment, a later one may write its content over that of an earlier one'
    )
  }
  if (!listsMultiparts) {
    found.push(
      'the access key may not list multipart uploads (s3:ListBucketMultipartUploads): parts that a crash leaves behind ' +
        'stay in the bucket until a lifecycle rule aborts incomplete uploads'
    )
  }
  return found
}

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
    for (const shortcoming of shortcomingsOf(driver.dialect)) app.log.warn({ bucket, endpoint }, shortcoming)
    app.decorate('storage', guard(driver, app.log, observer))
    app.addHook('onClose', () => driver.close())
  },
  { name: 'storage', fastify: '5.x' }
)
