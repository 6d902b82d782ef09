import { randomBytes } from 'node:crypto'
import { DeleteObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { StorageError } from '../driver.ts'
import type { Bucket, BucketOptions } from './bucket.ts'
import { isLost, patiently, RequestFailed } from './errors.ts'
import { TEMPORARY } from './reserved.ts'
import type { ConditionHeaders } from './writes.ts'

/**
 * Tries the bucket: that it is there and may be listed, written and deleted in.
 *
 * @returns whether the server keeps to the conditions of writes (`If-None-Match`, `If-Match`)
 * @throws StorageError `failed`, in one sentence for the operator that names the variable to mend
 */
export async function checkBucket(bucket: Bucket, options: BucketOptions): Promise<boolean> {
  const { Bucket, Key } = bucket.at('')
  const explained = async <T>(deed: string, work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error
      throw new StorageError('failed', explain(error, deed, options), { cause: error })
    }
  }
  await explained('list', bucket.client.send(new ListObjectsV2Command({ Bucket, Prefix: Key, MaxKeys: 1 })))
  const key = TEMPORARY + randomBytes(8).toString('hex')
  const conditional = await explained('write to', keepsConditions(bucket, key))
  await explained('delete in', bucket.client.send(new DeleteObjectCommand(bucket.at(key))))
  return conditional
}

async function keepsConditions(bucket: Bucket, key: string): Promise<boolean> {
  const put = new PutObjectCommand({ ...bucket.at(key), ...bucket.encryption, Body: Buffer.from('probe') })
  await patiently(() => bucket.client.send(put))
  const conditions: ConditionHeaders[] = [{ IfNoneMatch: '*' }, { IfMatch: '"00000000000000000000000000000000"' }]
  for (const condition of conditions) {
    try {
      await bucket.client.send(new PutObjectCommand({ ...put.input, ...condition }))
      return false
    } catch (error) {
      // A server that has no such thing says 501, or that it does not know the header.
      const unknown = error instanceof RequestFailed && (error.status === 501 || error.status === 400)
      if (!isLost(error) && !unknown) throw error
      if (unknown) return false
    }
  }
  return true
}

const SENTENCES: Readonly<Record<string, (bucket: string) => string>> = {
  NoSuchBucket: bucket => `The bucket ${bucket} does not exist: make it, or see S3_BUCKET.`,
  InvalidBucketName: bucket => `${bucket} is not the name of a bucket: see S3_BUCKET.`,
  InvalidAccessKeyId: () => 'S3 does not know the access key: see AWS_ACCESS_KEY_ID.',
  XAdminUserNotFound: () => 'S3 does not know the access key: see AWS_ACCESS_KEY_ID.', // versitygw
  SignatureDoesNotMatch: () => 'The secret does not belong to the access key: see AWS_SECRET_ACCESS_KEY.',
  ExpiredToken: () => 'The temporary access key is no longer good: see AWS_SESSION_TOKEN.',
  InvalidToken: () => 'The token does not belong to the access key: see AWS_SESSION_TOKEN.',
  CredentialsProviderError: () =>
    'There is no access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or see what the SDK looks for (docs/s3.md).',
  RequestTimeTooSkewed: () => "This machine's clock differs too much from that of S3: set the clock."
}
const OTHER_REGION = new Set([
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
  'InvalidRegion',
  'PermanentRedirect'
])
const UNTRUSTED = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
])

/**
 * Why the bucket can't be used, and which variable to look at.
 *
 * @param deed what could not be done, as in "the access key may not … the bucket"
 */
export function explain(
  { code, status, message }: RequestFailed,
  deed: string,
  { bucket, region, endpoint }: BucketOptions
): string {
  const server = endpoint ?? `S3 in ${region}`
  const known = SENTENCES[code]
  if (known) return known(bucket)
  if (OTHER_REGION.has(code) || status === 301) return `The bucket ${bucket} is not in ${region}: see S3_REGION.`
  if (UNTRUSTED.has(code)) return `The certificate of ${server} is not trusted (${code}): see S3_CA_FILE.`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `The certificate is not that of ${server}: see S3_ENDPOINT.`
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return `${server} does not speak TLS: see S3_ENDPOINT, which may have to begin with http://.`
  }
  if (status === undefined) return `${server} cannot be reached (${code}): see S3_ENDPOINT.`
  if (status === 403) return `The access key may not ${deed} the bucket ${bucket} (${code}): see AWS_ACCESS_KEY_ID.`
  return `${server} would not ${deed} the bucket ${bucket} (${status} ${code}: ${message}): see S3_ENDPOINT.`
}
