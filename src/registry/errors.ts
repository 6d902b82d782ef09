/** Every way in which the registry says no. `plugins/errors.ts` alone knows how each one looks over HTTP. */
export type ErrorKind =
  | 'name-invalid'
  | 'name-unknown'
  | 'tag-invalid'
  | 'digest-invalid'
  | 'digest-mismatch'
  | 'blob-unknown'
  | 'upload-unknown'
  | 'upload-invalid'
  | 'upload-out-of-order'
  | 'size-invalid'
  | 'manifest-unknown'
  | 'manifest-invalid'
  | 'manifest-too-large'
  | 'manifest-blob-unknown'
  | 'range-not-satisfiable'
  | 'delete-disabled'
  | 'read-only'
  | 'tag-immutable'
  | 'request-invalid'
  | 'expectation-unknown'
  | 'transfer-coding-unknown'
  | 'method-not-allowed'
  | 'route-unknown'
  | 'unauthorized'
  | 'denied'
  | 'quota-exceeded'
  | 'too-many-requests'
  | 'too-many-connections'
  | 'issuer-unavailable'
  | 'storage-full'
  | 'storage-unavailable'
  | 'internal'

/** Free JSON for the answer's `detail`; never a path, a key of the store or a secret. */
export type ErrorDetail = Readonly<Record<string, unknown>>

/**
 * The one error of the domain. `detail` goes to the client; `message` overrides the kind's own sentence where a
 * better one is known; `cause` goes to the log only. Several details stand for several entries of one answer
 * (as for each missing blob of a manifest).
 */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly kind: ErrorKind
  readonly details: readonly ErrorDetail[]
  /** Whether `message` was given and is meant for the client. */
  readonly told: boolean
  constructor(
    kind: ErrorKind,
    detail: ErrorDetail | readonly ErrorDetail[] = {},
    options: { message?: string; cause?: unknown } = {}
  ) {
    super(options.message ?? kind, { cause: options.cause })
    this.kind = kind
    this.details = Array.isArray(detail) ? detail : [detail as ErrorDetail]
    this.told = options.message !== undefined
  }
}
