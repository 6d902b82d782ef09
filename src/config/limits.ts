import type { Reader } from './reader.ts'
import { optional, quotas, rate, type Settings, wholeNumber } from './values.ts'

/** The variables that bound what one client may use. */
export const limitVariables = {
  RATE_LIMIT_PER_ADDRESS: optional(
    rate({
      setting: 'perAddress',
      default: '',
      unset: 'no limit',
      description: 'Most requests from one address in a time, whatever becomes of them; more are answered with 429.'
    })
  ),
  RATE_LIMIT_PER_USER: optional(
    rate({
      setting: 'perUser',
      default: '',
      unset: 'no limit',
      description:
        'Most requests of one user or robot in a time, from all addresses together; more are answered with 429.'
    })
  ),
  UPLOADS_PER_USER: wholeNumber(
    {
      setting: 'uploads',
      default: '0',
      description:
        'Most requests that bring bytes of blobs at once, of one user, or of one address where nobody has logged in; more are answered with 429. `0`: no limit.'
    },
    0,
    100_000
  ),
  UPLOAD_SESSIONS_PER_USER: wholeNumber(
    {
      setting: 'uploadSessions',
      default: '0',
      description: 'Most uploads with bytes that are begun and not ended, counted in the same way. `0`: no limit.'
    },
    0,
    1_000_000
  )
}

/** The variables that bound what repositories may hold. */
export const quotaVariables = {
  QUOTA_BYTES: quotas({
    setting: 'quotas',
    default: '',
    unset: 'no limit',
    description:
      'How much each repository may hold, by the first pattern that takes its name; approximate (docs/operations.md). A push beyond it is answered with 403.'
  })
}

/** What one client may use, in this process. */
export type LimitSettings = Settings<typeof limitVariables>

/** Reads the limits; undefined: there is none. */
export function readLimits({ settings }: Reader): LimitSettings | undefined {
  const limits = settings(limitVariables)
  return Object.values(limits).some(limit => limit) ? limits : undefined
}
