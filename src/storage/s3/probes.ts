import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand
} from '@aws-sdk/client-s3'
import type { Bucket } from './bucket.ts'
import { hasOtherParts, isLost, isPassing, patiently, RequestFailed } from './errors.ts'
import { remove, removeBatch } from './removal.ts'
import type { ConditionHeaders } from './writes.ts'

/** A server without a feature says 501, or that it does not know the header. */
const isUnknown = (error: unknown): boolean =>
  error instanceof RequestFailed && (error.status === 501 || error.status === 400)

/** Writes the object `key`, and tells whether the server then honours the conditions of PutObject. */
export async function putsConditionally(bucket: Bucket, key: string): Promise<boolean> {
  const put = new PutObjectCommand({ ...bucket.at(key), ...bucket.encryption, Body: Buffer.from('probe') })
  await patiently(() => bucket.client.send(put))
  const conditions: ConditionHeaders[] = [{ IfNoneMatch: '*' }, { IfMatch: '"00000000000000000000000000000000"' }]
  for (const condition of conditions) {
    try {
      await bucket.client.send(new PutObjectCommand({ ...put.input, ...condition }))
      return false
    } catch (error) {
      if (isUnknown(error)) return false
      if (!isLost(error)) throw error
    }
  }
  return true
}

/** Whether CompleteMultipartUpload honours `If-None-Match`. The object `key` has to exist. */
export async function completesConditionally({ client, at, encryption }: Bucket, key: string): Promise<boolean> {
  const { UploadId } = await patiently(() =>
    client.send(new CreateMultipartUploadCommand({ ...at(key), ...encryption }))
  )
  const upload = { ...at(key), UploadId }
  try {
    const part = { ...upload, PartNumber: 1, Body: Buffer.from('probe') }
    const { ETag } = await patiently(() => client.send(new UploadPartCommand(part)))
    const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] }
    await client.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload, IfNoneMatch: '*' }))
    return false
  } catch (error) {
    if (!(error instanceof RequestFailed) || error.operation !== 'CompleteMultipartUpload') throw error
    return !isUnknown(error) // any other failure says nothing about conditions
  } finally {
    await abort()
  }

  async function abort(): Promise<void> {
    try {
      await patiently(() => client.send(new AbortMultipartUploadCommand(upload)))
    } catch (error) {
      if (!hasOtherParts(error)) throw error
    }
  }
}

/**
 * Deletes the object `key` in the first way that the server accepts, and notes it in the dialect.
 *
 * @throws RequestFailed when it can't be deleted by itself either
 */
export async function tryDeletions(bucket: Bucket, key: string): Promise<void> {
  for (const deletion of ['crc32', 'md5'] as const) {
    bucket.dialect.deletion = deletion
    try {
      await removeBatch(bucket, [key])
      return
    } catch (error) {
      if (isPassing(error)) throw error
    }
  }
  bucket.dialect.deletion = 'single'
  await remove(bucket, [key])
}

/** Whether the key may list the multipart uploads of a key. */
export async function listsMultiparts({ client, at, name }: Bucket, key: string): Promise<boolean> {
  try {
    const { Key: Prefix } = at(key)
    await patiently(() => client.send(new ListMultipartUploadsCommand({ Bucket: name, Prefix })))
    return true
  } catch (error) {
    if (!(error instanceof RequestFailed) || isPassing(error)) throw error
    return false
  }
}
