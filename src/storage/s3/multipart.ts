import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand
} from '@aws-sdk/client-s3'
import type { Bucket } from './bucket.ts'
import { hasOtherParts } from './errors.ts'
import type { UploadRecord } from './record.ts'
import type { Writes } from './writes.ts'

/** S3's multipart uploads. They are made on the key of the object that they become, so that nothing is ever copied. */
export function createMultiparts(bucket: Bucket, writes: Writes) {
  const { client, at, name, encryption, contentClass, dialect } = bucket

  /** There may be none. */
  async function abort(key: string, multipart: string): Promise<void> {
    try {
      await client.send(new AbortMultipartUploadCommand({ ...at(key), UploadId: multipart }))
    } catch (error) {
      if (!hasOtherParts(error)) throw error
    }
  }

  return {
    abort,

    /** @returns its id, and whether there may be a second one: the answer to a first try got lost */
    create: async (key: string): Promise<{ multipart: string; repeated: boolean }> => {
      const answer = await client.send(new CreateMultipartUploadCommand({ ...at(key), ...encryption, ...contentClass }))
      return { multipart: answer.UploadId ?? '', repeated: (answer.$metadata.attempts ?? 1) > 1 }
    },

    /**
     * Ends every multipart upload of a key but `kept`, also those that no record names. Where the key may not list them
     * only `known` is ended; a lifecycle rule ends the others (docs/s3.md).
     */
    abortAll: async (
      key: string,
      { kept, known }: { kept?: string; known?: string | undefined } = {}
    ): Promise<void> => {
      if (!dialect.listsMultiparts) {
        if (known) await abort(key, known)
        return
      }
      const { Key } = at(key)
      // Some servers list the uploads of an exact key alone.
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: name, Prefix: Key }))
      for (const upload of Uploads) {
        if (upload.Key === Key && upload.UploadId && upload.UploadId !== kept) await abort(key, upload.UploadId)
      }
    },

    /** Makes the object of the record's parts; false: the key exists. */
    complete: async ({ key, multipart, parts }: UploadRecord): Promise<boolean> => {
      const Parts = parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag }))
      const whole = { ...at(key), UploadId: multipart, MultipartUpload: { Parts } }
      const answer = await writes.when(key, 'absent', condition =>
        client.send(new CompleteMultipartUploadCommand({ ...whole, ...condition }))
      )
      return answer !== undefined
    }
  }
}

export type Multiparts = ReturnType<typeof createMultiparts>
