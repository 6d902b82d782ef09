import { isKey } from '../storage/guard.ts'
import type { Reader } from './reader.ts'
import {
  baseUrl,
  boolean,
  certificateFile,
  choice,
  duration,
  optional,
  type Settings,
  size,
  text,
  wholeNumber
} from './values.ts'

/** A bucket's name, or the ARN of an access point; older buckets have capitals and underscores. */
const BUCKET = /^(?:[a-z0-9][\w.-]{1,253}[a-z0-9]|arn:[\w:/-]{1,250})$/i

/** The store's longest key is 1024 bytes, and the registry's own take a little over half of it. */
const LONGEST_PREFIX = 256

const credential = (about: { description: string; unset?: string }) =>
  optional(text({ default: '', secret: true, ...about }, 'characters without spaces', /^[!-~]+$/))

/** The variables of storage in S3. They count with `STORAGE_DRIVER=s3` alone. */
export const s3Variables = {
  S3_BUCKET: optional(
    text(
      {
        default: '',
        description: 'The bucket that holds the registry; it has to exist. Required.'
      },
      "a bucket's name of 3 characters or more, without `s3://` or a path, or the ARN of an access point",
      BUCKET
    )
  ),
  S3_REGION: optional(
    text(
      {
        default: '',
        unset: '`us-east-1` with an endpoint, else required',
        fallbacks: ['AWS_REGION', 'AWS_DEFAULT_REGION'],
        description: "The bucket's region."
      },
      'the name of a region, such as `eu-central-1`',
      /^[a-z0-9-]{1,64}$/i
    )
  ),
  S3_ENDPOINT: optional(
    baseUrl({
      setting: 'endpoint',
      default: '',
      unset: "AWS, by the bucket's region",
      fallbacks: ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'],
      description: 'The server, where it is not AWS.'
    })
  ),
  S3_PREFIX: optional(
    text(
      {
        default: '',
        description: 'What every key begins with, so that a bucket can be shared; a `/` is added at its end.'
      },
      `up to ${LONGEST_PREFIX} printable ASCII characters without space and backslash; no \`/\` at the start, no part that begins with a dot`,
      { test: text => text.length <= LONGEST_PREFIX && isKey(text.replace(/\/$/, '')) }
    )
  ),
  S3_FORCE_PATH_STYLE: optional(
    boolean({
      default: '',
      unset: '`true` with an endpoint, else `false`',
      description: 'Whether the bucket stands in the path of a URL and not in its host name.'
    })
  ),
  S3_CA_FILE: optional(
    certificateFile({
      setting: 'caFile',
      default: '',
      description: 'Certificates to trust for the server instead of the usual ones: a private or a self-signed one.'
    })
  ),
  S3_INSECURE_SKIP_VERIFY: boolean({
    setting: 'insecureSkipVerify',
    default: 'false',
    description:
      "Whether the server's certificate is believed unseen; a warning at every start. `S3_CA_FILE` is better."
  }),
  AWS_ACCESS_KEY_ID: credential({
    unset: "the AWS SDK's default chain",
    description: 'Access key, together with `AWS_SECRET_ACCESS_KEY`.'
  }),
  AWS_SECRET_ACCESS_KEY: credential({ description: 'Secret of the access key.' }),
  AWS_SESSION_TOKEN: credential({ description: 'Token of a temporary access key.' }),
  S3_REDIRECT: boolean({
    default: 'false',
    description: 'Whether a GET of a blob over 64 KiB is answered with 307 to a presigned URL of the bucket.'
  }),
  // Signature version 4 holds for a week at most.
  S3_REDIRECT_EXPIRY: duration({ default: '15m', description: 'How long such a URL is good.' }, '1m', '7d'),
  S3_PART_SIZE: size(
    {
      setting: 'partSize',
      default: '8MiB',
      description: 'Size of the first parts of a multipart upload, and of all without growth.'
    },
    '5MiB',
    '5GiB'
  ),
  S3_PART_GROWTH: boolean({
    setting: 'partGrowth',
    default: 'true',
    description: 'Whether parts become larger as an upload does; `false` where all must be equal, as on Cloudflare R2.'
  }),
  S3_SSE: optional(
    choice(
      { setting: 'sse', default: '', unset: "the bucket's own setting", description: 'Encryption that is asked for.' },
      ['AES256', 'aws:kms', 'aws:kms:dsse']
    )
  ),
  S3_KMS_KEY_ID: optional(
    text(
      {
        setting: 'kmsKeyId',
        default: '',
        unset: "the account's own key",
        description: 'The KMS key, with an `S3_SSE` of `aws:kms…` only.'
      },
      'the id, alias or ARN of a key',
      /^[\w:/.-]{1,2048}$/
    )
  ),
  S3_STORAGE_CLASS: optional(
    text(
      {
        setting: 'storageClass',
        default: '',
        unset: "the server's",
        description: 'Storage class of the content of blobs over 64 KiB; all else is small.'
      },
      'a class that can be read at once, such as `INTELLIGENT_TIERING`; not `GLACIER`, not `DEEP_ARCHIVE`',
      /^(?!(?:GLACIER|DEEP_ARCHIVE)$)[\w-]{1,64}$/
    )
  ),
  // A page of referrers reads 64 objects at once, and a download holds a connection for as long as its client takes.
  S3_MAX_SOCKETS: wholeNumber(
    {
      setting: 'maxSockets',
      default: '256',
      description: 'Most connections to the server at once; each download that is not redirected holds one.'
    },
    8,
    10_000
  ),
  S3_METADATA_TTL: duration(
    {
      default: '0s',
      description: 'How long may be trusted what was seen of tags and links; `0s` asks each time (docs/s3.md).'
    },
    '0s',
    '1h'
  )
}

/** Where the bucket is and how it is used. Sizes are bytes, times are milliseconds. */
export interface S3Settings extends Settings<typeof s3Variables> {
  bucket: string
  region: string
  /** Ends in `/`. */
  prefix?: string | undefined
  forcePathStyle: boolean
  /** Undefined: the SDK's default chain. */
  credentials?: S3Credentials | undefined
}

export interface S3Credentials {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
}

/** Settings that exist only with storage in S3. */
export interface S3StorageSettings {
  s3: S3Settings
  /** How long a presigned URL is valid that a blob's GET is redirected to; undefined: blobs are streamed. */
  redirectExpiryMs?: number
  /** How long the keys that a listing of the bucket returned may be cached. */
  metadataTtlMs: number
}

/** Reads the settings of storage in S3. What is missing or does not fit together is noted as a problem. */
export function readS3(reader: Reader): S3StorageSettings {
  const { read, settings, problems } = reader
  const given = settings(s3Variables)
  problems.push(...misfits(reader, given.sse))
  const s3 = {
    ...given,
    bucket: read('S3_BUCKET') ?? '',
    region: read('S3_REGION') ?? 'us-east-1',
    prefix: read('S3_PREFIX')?.replace(/\/?$/, '/'),
    // Servers other than AWS rarely have a host name for each bucket.
    forcePathStyle: read('S3_FORCE_PATH_STYLE') ?? given.endpoint !== undefined,
    credentials: readCredentials(reader)
  }
  const expiry = read('S3_REDIRECT_EXPIRY')
  return { s3, ...(read('S3_REDIRECT') && { redirectExpiryMs: expiry }), metadataTtlMs: read('S3_METADATA_TTL') }
}

function misfits({ isSet }: Reader, sse: S3Settings['sse']): string[] {
  const found: string[] = []
  if (!isSet('S3_BUCKET')) {
    found.push('S3_BUCKET is not set, and STORAGE_DRIVER is "s3"; allowed: the name of a bucket that exists')
  }
  if (!isSet('S3_REGION') && !isSet('S3_ENDPOINT')) {
    found.push(
      "S3_REGION is not set, nor is AWS_REGION; allowed: the bucket's region, or S3_ENDPOINT for another server"
    )
  }
  if (isSet('AWS_ACCESS_KEY_ID') !== isSet('AWS_SECRET_ACCESS_KEY')) {
    const [set, missing] = isSet('AWS_ACCESS_KEY_ID')
      ? ['ACCESS_KEY_ID', 'SECRET_ACCESS_KEY']
      : ['SECRET_ACCESS_KEY', 'ACCESS_KEY_ID']
    found.push(`AWS_${set} is set and AWS_${missing} is not; allowed: both, or neither`)
  }
  if (isSet('AWS_SESSION_TOKEN') && !isSet('AWS_ACCESS_KEY_ID') && !isSet('AWS_SECRET_ACCESS_KEY')) {
    found.push('AWS_SESSION_TOKEN is set without AWS_ACCESS_KEY_ID; allowed: only with both parts of the key')
  }
  if (isSet('S3_KMS_KEY_ID') && !sse?.startsWith('aws:kms')) {
    found.push('S3_KMS_KEY_ID is set; allowed: only with an S3_SSE of `aws:kms` or `aws:kms:dsse`')
  }
  return found
}

function readCredentials({ read }: Reader): S3Credentials | undefined {
  const accessKeyId = read('AWS_ACCESS_KEY_ID')
  const secretAccessKey = read('AWS_SECRET_ACCESS_KEY')
  const sessionToken = read('AWS_SESSION_TOKEN')
  if (!accessKeyId || !secretAccessKey) return undefined
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) }
}
