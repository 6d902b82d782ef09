import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { StorageError } from '../driver.ts'
import type { Bucket, BucketOptions } from './bucket.ts'
import { RequestFailed } from './errors.ts'
import { seeBucket } from './objects.ts'
import { completesConditionally, listsMultiparts, putsConditionally, tryDeletions } from './probes.ts'
import { TEMPORARY } from './reserved.ts'

/**
 * Tries the bucket: that it exists and that the key may list, write, read and delete in it. Notes in the bucket's dialect
 * what the server is able to do.
 *
 * @throws StorageError `failed`, in one sentence for the operator that names the variable to correct
 */
export async function checkBucket(bucket: Bucket, options: BucketOptions): Promise<void> {
  const { client, dialect } = bucket
  const { Bucket, Key } = bucket.at('')
  const explained = async <T>(deed: string, work: Promise<T>): Promise<T> => {
    try {
      return await answered(work, options)
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error
      throw new StorageError('failed', explain(error, deed, options), { cause: error })
    }
  }
  await explained('list', client.send(new ListObjectsV2Command({ Bucket, Prefix: Key, MaxKeys: 1 })))
  await explained('read from', seeBucket(bucket))
  const key = TEMPORARY + randomBytes(8).toString('hex')
  dialect.conditionalPuts = await explained('write to', putsConditionally(bucket, key))
  try {
    dialect.conditionalCompletes =
      dialect.conditionalPuts && (await explained('upload in parts to', completesConditionally(bucket, key)))
    dialect.listsMultiparts = await explained('list the uploads of', listsMultiparts(bucket, key))
  } finally {
    await explained('delete in', tryDeletions(bucket, key))
  }
}

/** An answer takes no longer than this at the start; nor may the start of an app that embeds the registry (10 s). */
const ANSWER_MS = 8000

/** Throws StorageError where S3 says nothing at all: the SDK alone would try again for minutes. */
async function answered<T>(work: Promise<T>, { region, endpoint, answerMs = ANSWER_MS }: BucketOptions): Promise<T> {
  const done = new AbortController()
  const late = pause(answerMs, undefined, { signal: done.signal }).then(() => {
    const server = endpoint ?? `S3 in ${region}`
    throw new StorageError('failed', `${server} gives no answer within ${answerMs / 1000} s: see S3_ENDPOINT.`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    done.abort()
    late.catch(() => undefined)
    work.catch(() => undefined)
  }
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
  { bucket, region, endpoint, forcePathStyle = false }: BucketOptions
): string {
  const server = endpoint ?? `S3 in ${region}`
  // The bucket is in the host name then, and a server that looks for it in the path takes the key's first part for one.
  const byHost = endpoint !== undefined && !forcePathStyle
  if (byHost && (code === 'NoSuchBucket' || code === 'ENOTFOUND')) {
    return `${endpoint} has no bucket ${bucket} under a host name of its own (${code}): see S3_FORCE_PATH_STYLE, S3_ENDPOINT and S3_BUCKET.`
  }
  if (endpoint?.startsWith('http://') && isNoPlainHttp(code, status, message)) {
    return `${endpoint} does not answer in plain HTTP (${code}): see S3_ENDPOINT, which may have to begin with https://.`
  }
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

/** What a server of TLS makes of a plain request: nothing, bytes that are no HTTP, or a page that says so. */
function isNoPlainHttp(code: string, status: number | undefined, message: string): boolean {
  if (status === undefined) return code.startsWith('HPE_') || code === 'ECONNRESET' || code === 'EPIPE'
  // The SDK finds no error in XML then, and makes up a name for it.
  return status === 400 && (/https/i.test(message) || ['Error', 'SyntaxError', 'Unknown'].includes(code))
}
