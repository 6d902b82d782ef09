import { setTimeout as pause } from 'node:timers/promises'
import { StorageError, type StorageFault } from '../driver.ts'

/** A request that S3 refused or that never got its answer. Only this driver sees it: outside it is a `StorageError`. */
export class RequestFailed extends Error {
  override readonly name = 'RequestFailed'
  /** S3's name of what was asked, as `PutObject`. */
  readonly operation: string
  /** S3's error code, or the system's. */
  readonly code: string
  /** HTTP status; undefined where no answer came. */
  readonly status: number | undefined

  constructor(operation: string, cause: unknown) {
    const { message = String(cause), name, code, $metadata } = (cause ?? {}) as Partial<SdkError>
    super(message, { cause })
    this.operation = operation
    this.code = code ?? name ?? 'Unknown'
    this.status = $metadata?.httpStatusCode
  }
}

interface SdkError {
  message: string
  name: string
  code: string
  $metadata: { httpStatusCode?: number }
}

const ABSENT = new Set(['NoSuchKey', 'NotFound'])
const FULL = new Set([
  'EntityTooLarge',
  'InsufficientStorage',
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded'
])
const AWAY = new Set([
  'AbortError',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ETIMEDOUT',
  'IncompleteBody',
  'InternalError',
  'RequestTimeout',
  'RequestTimeoutException',
  'ServiceUnavailable',
  'SlowDown',
  'SlowDownRead',
  'SlowDownWrite',
  'Throttling',
  'ThrottlingException',
  'TimeoutError',
  'TooManyRequests'
])
/** What CompleteMultipartUpload says when the parts are not those that were recorded. */
const OTHER_PARTS = new Set(['EntityTooSmall', 'InvalidPart', 'InvalidPartOrder', 'NoSuchUpload'])

/** The object is not there. An answer to HEAD looks the same where the bucket is missing. */
export const isAbsent = (error: unknown): boolean => error instanceof RequestFailed && ABSENT.has(error.code)

/** What a conditional write was to replace, or not to replace, is not so. */
export const isLost = (error: unknown): boolean =>
  error instanceof RequestFailed && (error.status === 412 || error.code === 'PreconditionFailed')

export const hasOtherParts = (error: unknown): boolean => error instanceof RequestFailed && OTHER_PARTS.has(error.code)

export const isOutOfRange = (error: unknown): boolean => error instanceof RequestFailed && error.status === 416

/** Two writes met, and the loser is asked to try again. */
const isContended = ({ status }: RequestFailed): boolean => status === 409

export const isPassing = (error: unknown): boolean =>
  error instanceof RequestFailed &&
  error.code !== 'NoSuchBucket' &&
  (isContended(error) || faultOf(error) === 'unavailable')

/** There is no room, or no quota left. */
export const isFull = (error: unknown): boolean => error instanceof RequestFailed && faultOf(error) === 'full'

function faultOf({ code, status = 0 }: RequestFailed): StorageFault {
  if (FULL.has(code) || status === 507) return 'full'
  // A bucket that was there at the start is away, not empty: its objects must not look as if they were missing.
  if (AWAY.has(code) || code === 'NoSuchBucket' || status === 429) return 'unavailable'
  // What the server does not implement it will not do later either.
  if (status >= 500 && status !== 501) return 'unavailable'
  return 'failed'
}

/**
 * What the outside is told: the operation and the bucket, and S3's own words. S3 repeats no secret in them.
 *
 * @param bucket its name
 */
export function storageError(error: unknown, bucket: string): unknown {
  if (!(error instanceof RequestFailed)) return error
  const { operation, code, message } = error
  return new StorageError(faultOf(error), `${operation} in bucket ${bucket}: ${code}: ${message}`, { cause: error })
}

const TRIES = 5
const FIRST_PAUSE_MS = 100

/**
 * Does it again when what failed may pass. The SDK does so by itself where it can send the same body again; this is for
 * streams, bodies of answers and writes that met.
 */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await work()
    } catch (error) {
      if (tried === TRIES || !isPassing(error)) throw error
      await backOff(tried)
    }
  }
}

/** Waits at random, longer with each try, so that those who were refused together don't come back together. */
export async function backOff(tried: number): Promise<void> {
  await pause(Math.random() * FIRST_PAUSE_MS * 2 ** tried)
}
