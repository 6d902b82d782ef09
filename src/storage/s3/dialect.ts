import { createHash } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'

/** What S3 servers differ in. The check at the start fills it in. */
export interface Dialect {
  /** PutObject honours `If-None-Match` and `If-Match`. */
  conditionalPuts: boolean
  /** CompleteMultipartUpload honours `If-None-Match`. */
  conditionalCompletes: boolean
  /**
   * How several objects are deleted: by DeleteObjects with the SDK's CRC32, by DeleteObjects with `Content-MD5` for
   * servers that predate other checksums, or one by one where there is no DeleteObjects.
   */
  deletion: 'crc32' | 'md5' | 'single'
  /** The key may list multipart uploads. Otherwise only those that a record names can be aborted. */
  listsMultiparts: boolean
}

export const FULL_DIALECT: Readonly<Dialect> = {
  conditionalPuts: true,
  conditionalCompletes: true,
  deletion: 'crc32',
  listsMultiparts: true
}

const SDK_CHECKSUM = /^x-amz-(?:checksum|sdk-checksum)-/

/** Replaces the checksum of DeleteObjects, as the SDK's documentation proposes for servers that require MD5. */
export function sendMd5(client: S3Client, dialect: Readonly<Dialect>): void {
  client.middlewareStack.add(
    (next, { commandName }) =>
      args => {
        if (commandName !== 'DeleteObjectsCommand' || dialect.deletion !== 'md5') return next(args)
        const request = args.request as { headers: Record<string, string>; body: string | Uint8Array }
        const kept = Object.entries(request.headers).filter(([name]) => !SDK_CHECKSUM.test(name.toLowerCase()))
        const digest = createHash('md5').update(request.body).digest('base64')
        request.headers = { ...Object.fromEntries(kept), 'content-md5': digest }
        return next(args)
      },
    { step: 'build', name: 'md5', priority: 'low' }
  )
}
