import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  CreateBucketCommand,
  DeleteObjectsCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client
} from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { Test } from 'tap'
import { openS3, type S3Driver, type S3Options } from '../../src/storage/s3.ts'

/** The server that tests use where there is one; `test/s3/run` starts servers and sets this. */
export const endpoint = process.env.S3_TEST_ENDPOINT
export const caFile = process.env.S3_TEST_CA_FILE
export const bucket = 'marina-test'

const credentials = {
  accessKeyId: process.env.S3_TEST_ACCESS_KEY_ID ?? '',
  secretAccessKey: process.env.S3_TEST_SECRET_ACCESS_KEY ?? ''
}

let shared: Promise<S3Client> | undefined

/** A plain client of the server, to look behind the driver's back. The bucket is there. */
export function s3(): Promise<S3Client> {
  shared ??= (async () => {
    const client = new S3Client({
      endpoint: endpoint!,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials,
      ...(caFile && { requestHandler: new NodeHttpHandler({ httpsAgent: { ca: readFileSync(caFile) } }) })
    })
    await client.send(new CreateBucketCommand({ Bucket: bucket })).catch(error => {
      if (!/^BucketAlready/.test(error.name)) throw error
    })
    return client
  })()
  return shared
}

export const settings = (options: Partial<S3Options> = {}): S3Options => ({
  bucket,
  endpoint,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials,
  caFile,
  ...options
})

/** A prefix of its own in the bucket; whatever is below it goes when the test ends. */
export async function scratchPrefix(t: Test): Promise<string> {
  const prefix = `t-${randomBytes(6).toString('hex')}`
  const client = await s3()
  t.teardown(async () => {
    for (let keys = await keysBelow(prefix); keys.length > 0; keys = await keysBelow(prefix)) {
      const Objects = keys.map(Key => ({ Key }))
      await client.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }))
    }
  })
  return prefix
}

export async function openScratch(t: Test, options: Partial<S3Options> = {}): Promise<S3Driver> {
  const driver = await openS3(settings({ prefix: await scratchPrefix(t), ...options }))
  t.teardown(() => driver.close())
  return driver
}

/** At most a thousand keys below a prefix, the driver's own included. */
export async function keysBelow(prefix: string): Promise<string[]> {
  const answer = await (await s3()).send(new ListObjectsV2Command({ Bucket: bucket, Prefix: `${prefix}/` }))
  return (answer.Contents ?? []).map(({ Key = '' }) => Key)
}

/** The multipart uploads that are open for a key. */
export async function multipartsOf(key: string): Promise<string[]> {
  const answer = await (await s3()).send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: key }))
  return (answer.Uploads ?? []).map(({ Key = '' }) => Key)
}
