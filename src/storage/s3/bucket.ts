import { readFile } from 'node:fs/promises'
import { S3Client, type StorageClass } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { StorageError } from '../driver.ts'
import { createAgents } from './connections.ts'
import { S3_DEFAULTS } from './defaults.ts'
import { type Dialect, FULL_DIALECT, sendMd5 } from './dialect.ts'
import { RequestFailed } from './errors.ts'

type Encryption = 'AES256' | 'aws:kms' | 'aws:kms:dsse'

/** How to reach a bucket. Times are milliseconds. */
export interface BucketOptions {
  bucket: string
  region: string
  /** URL of a server that is not AWS's. */
  endpoint?: string | undefined
  /** All keys lie below it, so that a bucket can have other uses. */
  prefix?: string | undefined
  /** `https://host/bucket` and not `https://bucket.host`. Default false. */
  forcePathStyle?: boolean
  /** Take any certificate. Default false. */
  insecureSkipVerify?: boolean
  /** File of certificates (PEM) to trust instead of the system's. */
  caFile?: string | undefined
  /** Default: the SDK's chain (environment, shared files, web identity, container, instance). */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string | undefined } | undefined
  /** Server-side encryption asked for with every write; `kmsKeyId` goes with `aws:kms`. */
  sse?: Encryption | undefined
  kmsKeyId?: string | undefined
  /** Of the content of blobs; all else is small and stays in the default class. */
  storageClass?: string | undefined
  /** Most connections at a time. Default 256. */
  maxSockets?: number
  /** How long an answer may take while the bucket is tried at the start, in ms. Default 8000. */
  answerMs?: number | undefined
  /** Bytes that all downloads together may hold, and as many again for all uploads. Default 64 MiB. */
  bufferMemory?: number
  /** The clock that ages are told by; for tests. */
  now?: () => number
  /** Told of each request that is sent, repeated ones included, as `PutObject`, and of its body's bytes; for counters. */
  onRequest?: ((operation: string, bytes: number) => void) | undefined
}

export interface Bucket {
  readonly name: string
  /** Fails with `RequestFailed` alone. */
  readonly client: S3Client
  /** Whose object a request is about. */
  at(key: string): { Bucket: string; Key: string }
  /** A listing's key or prefix, as the driver's callers know it. */
  keyOf(full: string): string
  /** What every new object is written with. */
  readonly encryption: { ServerSideEncryption?: Encryption; SSEKMSKeyId?: string }
  /** What the content of blobs is written with. */
  readonly contentClass: { StorageClass?: StorageClass }
  /** How long ago that was, in ms by S3's own clock; never negative. */
  ageMs(modified: Date | undefined, now?: number): number
  /** What time it is by S3's own clock, to tell several ages as of one moment. */
  now(): number
  /** What this server is able to do. The check at the start finds out. */
  readonly dialect: Dialect
}

/** An idle connection is given up after this long, whether it stalls or a client is slow to read from it. */
const IDLE_MS = 30_000
const CONNECT_MS = 5_000
const TRIES = 5

/** @throws StorageError `failed` when the file of certificates can't be read */
export async function openBucket(options: BucketOptions): Promise<Bucket> {
  const { bucket: name, sse, kmsKeyId, storageClass, now = Date.now } = options
  const prefix = options.prefix ? `${options.prefix.replace(/^\/+|\/+$/g, '')}/` : ''
  const client = await createClient(options)
  const dialect = { ...FULL_DIALECT }
  sendMd5(client, dialect)
  let ahead = 0 // ms that S3's clock is ahead of this machine's; seconds are all that it tells
  client.middlewareStack.add(
    next => async args => {
      const answer = await next(args)
      const response = answer.response as { headers?: Record<string, string> } | undefined
      const date = Date.parse(response?.headers?.date ?? '')
      if (!Number.isNaN(date)) ahead = date - Date.now()
      return answer
    },
    { step: 'deserialize', name: 'clock', priority: 'high' }
  )
  return {
    name,
    client,
    dialect,
    at: key => ({ Bucket: name, Key: prefix + key }),
    keyOf: full => full.slice(prefix.length),
    encryption: { ...(sse && { ServerSideEncryption: sse }), ...(kmsKeyId && { SSEKMSKeyId: kmsKeyId }) },
    contentClass: storageClass ? { StorageClass: storageClass as StorageClass } : {},
    ageMs: (modified, then = now() + ahead) => Math.max(0, then - (modified?.getTime() ?? 0)),
    now: () => now() + ahead
  }
}

async function createClient(options: BucketOptions): Promise<S3Client> {
  const {
    region,
    endpoint,
    credentials,
    forcePathStyle = false,
    maxSockets = S3_DEFAULTS.maxSockets,
    onRequest
  } = options
  const client = new S3Client({
    region,
    forcePathStyle,
    maxAttempts: TRIES,
    retryMode: 'standard',
    ...(endpoint && { endpoint }),
    ...(credentials && { credentials }),
    // Servers that are not AWS's refuse checksums in trailers. What must have one (DeleteObjects) still gets it.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Tiny chunks of a streamed body are refused.
    requestStreamBufferSize: 64 * 1024,
    // Waiting for 100 Continue would take a new connection for each part.
    expectContinueHeader: false,
    // What each kind of request passes through is put together once. All middleware is there before the first of them.
    cacheMiddleware: true,
    // It would warn on the console of what is tried again here.
    logger: { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
    requestHandler: new NodeHttpHandler({
      connectionTimeout: CONNECT_MS,
      socketTimeout: IDLE_MS,
      ...createAgents({ keepAlive: true, maxSockets }, await trust(options)),
      logger: { debug: ignore, info: ignore, warn: ignore, error: ignore }
    })
  })
  client.middlewareStack.remove('loggerMiddleware') // it takes each input and output apart for nobody
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      async args => {
        try {
          return await next(args)
        } catch (error) {
          throw new RequestFailed(operationOf(commandName), error)
        }
      },
    { step: 'initialize', name: 'failures', priority: 'high' }
  )
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      args => {
        const { headers } = args.request as { headers: Record<string, string> }
        onRequest?.(operationOf(commandName), Number(headers['content-length'] ?? 0))
        return next(args)
      },
    { step: 'finalizeRequest', name: 'count', priority: 'low' }
  )
  return client
}

const ignore = (): void => undefined
const operationOf = (commandName: string): string => commandName.replace(/Command$/, '')

async function trust({ caFile, insecureSkipVerify = false }: BucketOptions) {
  if (!caFile) return { rejectUnauthorized: !insecureSkipVerify }
  try {
    return { ca: await readFile(caFile), rejectUnauthorized: !insecureSkipVerify }
  } catch (error) {
    throw new StorageError('failed', `The file ${caFile} cannot be read: see S3_CA_FILE.`, { cause: error })
  }
}
