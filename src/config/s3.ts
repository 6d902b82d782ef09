import type { Reader } from './reader.ts'

/** Where the bucket is and how it is used. Sizes are bytes, times are milliseconds. */
export interface S3Settings {
  bucket: string
  region: string
  /** Undefined: AWS. */
  endpoint?: string | undefined
  /** Ends in `/`. */
  prefix?: string | undefined
  forcePathStyle: boolean
  insecureSkipVerify: boolean
  caFile?: string | undefined
  /** Undefined: the SDK's default chain. */
  credentials?: S3Credentials | undefined
  partSize: number
  partGrowth: boolean
  sse?: 'AES256' | 'aws:kms' | 'aws:kms:dsse' | undefined
  kmsKeyId?: string | undefined
  storageClass?: string | undefined
  maxSockets: number
}

export interface S3Credentials {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
}

/** Reads the settings of storage in S3. What is missing or does not fit together is noted as a problem. */
export function readS3(reader: Reader): S3Settings {
  const { read } = reader
  const endpoint = read('S3_ENDPOINT')
  const sse = read('S3_SSE')
  reader.problems.push(...misfits(reader, sse))
  return {
    bucket: read('S3_BUCKET') ?? '',
    region: read('S3_REGION') ?? 'us-east-1',
    endpoint,
    prefix: read('S3_PREFIX')?.replace(/\/?$/, '/'),
    // Servers other than AWS rarely have a host name for each bucket.
    forcePathStyle: read('S3_FORCE_PATH_STYLE') ?? endpoint !== undefined,
    insecureSkipVerify: read('S3_INSECURE_SKIP_VERIFY'),
    caFile: read('S3_CA_FILE'),
    credentials: readCredentials(reader),
    partSize: read('S3_PART_SIZE'),
    partGrowth: read('S3_PART_GROWTH'),
    sse,
    kmsKeyId: read('S3_KMS_KEY_ID'),
    storageClass: read('S3_STORAGE_CLASS'),
    maxSockets: read('S3_MAX_SOCKETS')
  }
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
