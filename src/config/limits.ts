import type { Reader } from './reader.ts'
import type { Rate } from './values.ts'

/** What one client may take up, in this process. */
export interface LimitSettings {
  /** Requests from one address. */
  perAddress?: Rate | undefined
  /** Requests of one user. */
  perUser?: Rate | undefined
  /** Requests at once that bring bytes of blobs; 0: any number. */
  uploads: number
  /** Upload sessions with bytes; 0: any number. */
  uploadSessions: number
}

/** Reads the limits; undefined: there is none. */
export function readLimits({ read, isSet }: Reader): LimitSettings | undefined {
  const limits = {
    perAddress: read('RATE_LIMIT_PER_ADDRESS'),
    perUser: read('RATE_LIMIT_PER_USER'),
    uploads: read('UPLOADS_PER_USER'),
    uploadSessions: read('UPLOAD_SESSIONS_PER_USER')
  }
  const given = [
    'RATE_LIMIT_PER_ADDRESS',
    'RATE_LIMIT_PER_USER',
    'UPLOADS_PER_USER',
    'UPLOAD_SESSIONS_PER_USER'
  ] as const
  return given.some(isSet) ? limits : undefined
}
