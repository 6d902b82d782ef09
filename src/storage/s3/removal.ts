import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3'
import type { Bucket } from './bucket.ts'
import { isAbsent, patiently, RequestFailed } from './errors.ts'

/** Most keys that one DeleteObjects takes. */
const BATCH = 1000
/** How many objects are deleted at a time where there is no DeleteObjects. */
const TOGETHER = 16

/** Deletes keys as the server allows: in batches, or one by one. With `ordered` each is gone before the next one goes. */
export async function remove(bucket: Bucket, keys: readonly string[], { ordered = false } = {}): Promise<void> {
  if (ordered || keys.length === 1) {
    for (const key of keys) await removeOne(bucket, key)
  } else if (bucket.dialect.deletion === 'single') {
    await removeEach(bucket, keys)
  } else {
    for (let at = 0; at < keys.length; at += BATCH) await removeBatch(bucket, keys.slice(at, at + BATCH))
  }
}

async function removeOne({ client, at }: Bucket, key: string): Promise<void> {
  try {
    await client.send(new DeleteObjectCommand(at(key)))
  } catch (error) {
    if (!isAbsent(error)) throw error // Google Cloud Storage answers 404 where S3 answers 204
  }
}

/** A key that can't be deleted does not stop the others. */
async function removeEach(bucket: Bucket, keys: readonly string[]): Promise<void> {
  const left = keys.values()
  const failures: unknown[] = []
  const work = async (): Promise<void> => {
    for (const key of left) await removeOne(bucket, key).catch(error => failures.push(error))
  }
  await Promise.all(Array.from({ length: TOGETHER }, work))
  if (failures.length > 0) throw failures[0]
}

/** Deletes up to a thousand keys by one request. */
export async function removeBatch(bucket: Bucket, keys: readonly string[]): Promise<void> {
  const Objects = keys.map(key => ({ Key: bucket.at(key).Key }))
  const Delete = { Quiet: true, Objects }
  await patiently(async () => {
    const answer = await bucket.client.send(new DeleteObjectsCommand({ Bucket: bucket.name, Delete }))
    // The answer is 200 even if nothing was deleted.
    const [failure] = (answer.Errors ?? []).filter(({ Code }) => Code !== 'NoSuchKey')
    if (failure) throw new RequestFailed('DeleteObjects', { code: failure.Code, message: failure.Message })
  })
}
