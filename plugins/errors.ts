import { randomBytes } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { BodyInterrupted } from '../src/http/body.ts'
import { allowedMethods, matchEndpoint, pathOf, segmentsIn } from '../src/http/endpoints.ts'
import { flushFaults, logFault } from '../src/http/faults.ts'
import { linger } from '../src/http/linger.ts'
import { type ErrorDetail, type ErrorKind, RegistryError } from '../src/registry/errors.ts'
import { StorageError, type StorageFault } from '../src/storage/driver.ts'

interface ErrorRow {
  status: number
  code: string
  message: string
  /** What an operator should do. Its presence makes the error the server's fault, which is logged as such. */
  hint?: string
}

/**
 * How each kind looks over HTTP. A 4xx has one of the spec's codes ("Error Codes"). No message is exactly the one that
 * Distribution's client code has for that code: without a detail, docker drops such a message and then retries a push
 * that was denied for almost a minute.
 */
export const errorTable = {
  'name-invalid': { status: 400, code: 'NAME_INVALID', message: 'invalid repository name' },
  'name-unknown': { status: 404, code: 'NAME_UNKNOWN', message: 'the registry has no such repository' },
  'tag-invalid': { status: 400, code: 'MANIFEST_INVALID', message: 'invalid tag' },
  'digest-invalid': { status: 400, code: 'DIGEST_INVALID', message: 'malformed or unsupported digest' },
  'digest-mismatch': { status: 400, code: 'DIGEST_INVALID', message: 'provided digest did not match uploaded content' },
  'blob-unknown': { status: 404, code: 'BLOB_UNKNOWN', message: 'blob unknown to registry' },
  'upload-unknown': { status: 404, code: 'BLOB_UPLOAD_UNKNOWN', message: 'blob upload unknown to registry' },
  'upload-invalid': { status: 400, code: 'BLOB_UPLOAD_INVALID', message: 'blob upload invalid' },
  'upload-out-of-order': { status: 416, code: 'BLOB_UPLOAD_INVALID', message: 'chunk is not the next one' },
  'size-invalid': { status: 400, code: 'SIZE_INVALID', message: 'provided length did not match content length' },
  'manifest-unknown': { status: 404, code: 'MANIFEST_UNKNOWN', message: 'manifest unknown to registry' },
  'manifest-invalid': { status: 400, code: 'MANIFEST_INVALID', message: 'manifest invalid' },
  'manifest-too-large': { status: 413, code: 'MANIFEST_INVALID', message: 'manifest larger than this registry takes' },
  'manifest-blob-unknown': {
    status: 400,
    code: 'MANIFEST_BLOB_UNKNOWN',
    message: 'manifest references a manifest or blob unknown to registry'
  },
  'range-not-satisfiable': { status: 416, code: 'SIZE_INVALID', message: 'range lies outside the content' },
  'delete-disabled': { status: 405, code: 'UNSUPPORTED', message: 'deleting is disabled' },
  'read-only': { status: 405, code: 'UNSUPPORTED', message: 'the registry is read-only' },
  'tag-immutable': { status: 409, code: 'DENIED', message: 'the tag is immutable and names another manifest' },
  'request-invalid': { status: 400, code: 'UNSUPPORTED', message: 'malformed request' },
  'expectation-unknown': { status: 417, code: 'UNSUPPORTED', message: 'only 100-continue can be expected' },
  'transfer-coding-unknown': { status: 501, code: 'UNSUPPORTED', message: 'the only transfer coding is chunked' },
  'method-not-allowed': { status: 405, code: 'UNSUPPORTED', message: 'the operation is unsupported' },
  'route-unknown': { status: 404, code: 'UNSUPPORTED', message: 'no such endpoint' },
  unauthorized: { status: 401, code: 'UNAUTHORIZED', message: 'authentication is required' },
  denied: { status: 403, code: 'DENIED', message: 'access to the resource is denied' },
  'quota-exceeded': { status: 403, code: 'DENIED', message: 'the repository may hold no more' },
  'too-many-requests': { status: 429, code: 'TOOMANYREQUESTS', message: 'too many requests' },
  'too-many-connections': { status: 503, code: 'UNAVAILABLE', message: 'the registry has too many connections' },
  'issuer-unavailable': {
    status: 503,
    code: 'UNAVAILABLE',
    message: 'the registry can not reach the issuer of tokens',
    hint: 'see whether its URL is right and answers from here'
  },
  'storage-full': {
    status: 507,
    code: 'UNKNOWN',
    message: 'the registry has no room left',
    hint: 'free space in the store or raise its quota'
  },
  'storage-unavailable': {
    status: 503,
    code: 'UNAVAILABLE',
    message: 'the registry can not reach its storage',
    hint: 'see that the store is there and lets this process in; clients retry'
  },
  internal: {
    status: 500,
    code: 'UNKNOWN',
    message: 'internal error',
    hint: 'the error beside this line tells what broke; clients were given the incident id only'
  }
} satisfies Record<ErrorKind, ErrorRow>

const kindOfFault: Partial<Record<StorageFault, ErrorKind>> = {
  full: 'storage-full',
  unavailable: 'storage-unavailable'
}

/** Codes for what other plugins throw by status alone. */
const codeOfStatus: Readonly<Record<number, string>> = { 401: 'UNAUTHORIZED', 403: 'DENIED', 429: 'TOOMANYREQUESTS' }

/** Seconds after which a 503 may be worth another try. */
const RETRY_AFTER_S = 5

/** What a route told of content that then could not be read. */
const OF_CONTENT = ['accept-ranges', 'content-range', 'docker-content-digest', 'etag']

/** Answers everything thrown in its scope, and what no route takes, in the spec's form. */
async function errors(app: FastifyInstance): Promise<void> {
  app.setErrorHandler((error, request, reply) => sendError(request, reply, error))
  app.setNotFoundHandler((request, reply) => sendError(request, reply, unrouted(request)))
  app.addHook('onClose', async () => flushFaults(app))
}

export default fp(errors, { name: 'errors', fastify: '5.x' })

/** Fastify's option `frameworkErrors`: what goes wrong before a route is found, such as a malformed percent-escape. */
export function frameworkErrors(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  // No hook has run that would have put it there.
  if (pathOf(request.raw.url ?? '').startsWith('/v2/')) reply.header('docker-distribution-api-version', 'registry/2.0')
  // Fastify's own message repeats the URL, which may hold what people put there by mistake.
  const badUrl = error.code === 'FST_ERR_BAD_URL'
  sendError(request, reply, badUrl ? new RegistryError('request-invalid', {}, { message: 'malformed URL' }) : error)
}

/** The one place that turns an error into an answer, whatever was thrown. Nothing of the server's inside is told. */
export function sendError(request: FastifyRequest, reply: FastifyReply, error: unknown): void {
  const refusal = report(request, refusalOf(error))
  if (reply.raw.headersSent || request.raw.socket.destroyed) {
    reply.hijack()
    reply.raw.destroy()
    return
  }
  for (const name of OF_CONTENT) reply.removeHeader(name)
  const body = bodyFor(refusal.code, refusal.message, refusal.details)
  reply
    .code(refusal.status)
    .headers(headersFor(refusal, request, reply))
    .header('content-type', 'application/json')
    .header('x-content-type-options', 'nosniff')
    .header('content-length', body.length)
    .send(body)
}

interface Refusal extends ErrorRow {
  details: readonly ErrorDetail[]
  /** For the log only. */
  cause?: unknown
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof RegistryError) {
    const told = error.told ? { message: error.message } : {}
    return refusal(error.kind, { ...told, details: error.details, cause: error.cause ?? error })
  }
  if (error instanceof StorageError) return refusal(kindOfFault[error.fault] ?? 'internal', { cause: error })
  if (error instanceof BodyInterrupted) {
    const status = error.idle ? 408 : errorTable['request-invalid'].status
    return refusal('request-invalid', { status, message: error.message, cause: error })
  }
  return isClientError(error) ? refusalOfFastify(error) : refusal('internal', { cause: error })
}

function refusal(kind: ErrorKind, more: Partial<Refusal>): Refusal {
  const made = { details: [], ...errorTable[kind], ...more }
  if (kind !== 'internal') return made
  return { ...made, message: errorTable.internal.message, details: [{ incident: randomBytes(8).toString('hex') }] }
}

function isClientError(error: unknown): error is FastifyError & { statusCode: number } {
  const { statusCode } = (error ?? {}) as Partial<FastifyError>
  return error instanceof Error && statusCode !== undefined && statusCode >= 400 && statusCode < 500
}

function refusalOfFastify(error: FastifyError & { statusCode: number }): Refusal {
  if (error.validation !== undefined) {
    const part = error.validationContext ?? 'request'
    const details = error.validation.map(({ instancePath, message }) => ({ in: part, at: instancePath, message }))
    return refusal('request-invalid', { message: `invalid ${part}`, details, cause: error })
  }
  if (error.statusCode === 413) return refusal('manifest-too-large', { cause: error })
  return {
    status: error.statusCode,
    code: codeOfStatus[error.statusCode] ?? 'UNSUPPORTED',
    // Only Fastify's own words are known to be fit for a client.
    message: error.code?.startsWith('FST_') ? error.message : (STATUS_CODES[error.statusCode] ?? 'refused'),
    details: [],
    cause: error
  }
}

/** 405 where the path is known with another method, else 404. */
function unrouted({ method, raw, server }: FastifyRequest): RegistryError {
  const allow = methodsAt(server, pathOf(raw.url ?? ''))
  return allow.length === 0 || allow.includes(method)
    ? new RegistryError('route-unknown')
    : new RegistryError('method-not-allowed', { allow })
}

function methodsAt(server: FastifyInstance, path: string): readonly string[] {
  const skip = segmentsIn(server.prefix)
  const match = skip === 0 ? undefined : matchEndpoint(path, skip)
  if (match !== undefined) return allowedMethods[match.endpoint]
  // A literal path only: the router would read `:` and `*` as its own.
  if (!/^[\w/-]+$/.test(path)) return []
  return server.supportedMethods.filter(method => server.hasRoute({ method, url: path }))
}

function headersFor({ status, code, details }: Refusal, request: FastifyRequest, reply: FastifyReply) {
  const path = pathOf(request.raw.url ?? '')
  const [detail = {}] = details
  const headers: Record<string, string> = {}
  // Where the upload goes on, as a route that knows of proxies has put it; to any other error it is no answer.
  const prepared = reply.getHeader('location')
  reply.removeHeader('location')
  if (status === 416 && code === 'BLOB_UPLOAD_INVALID') {
    headers.range = `0-${Math.max(Number(detail.size ?? 0) - 1, 0)}`
    headers.location = String(prepared ?? path)
  } else if (status === 416) {
    headers['content-range'] = `bytes */${detail.size ?? '*'}`
  } else if (status === 405) {
    const allow = methodsAt(request.server, path).filter(method => method !== request.method)
    headers.allow = [detail.allow ?? allow].flat().join(', ')
  } else if (status === 429) {
    headers['retry-after'] = String(detail.retryAfter ?? 1)
  } else if (status === 503) {
    headers['retry-after'] = String(RETRY_AFTER_S)
  }
  return headers
}

/** Logs what has to be logged. Returns what the client is told: the incident of the line that describes the fault. */
function report(request: FastifyRequest, refusal: Refusal): Refusal {
  const { status, code, message, hint, cause } = refusal
  if (hint !== undefined) return reportFault(request, refusal, hint)
  if (cause instanceof BodyInterrupted) request.log.info({ err: cause.cause }, message)
  else request.log.debug({ err: cause, status, code }, message)
  return refusal
}

function reportFault(request: FastifyRequest, refusal: Refusal, hint: string): Refusal {
  const { message, details, cause, status } = refusal
  const text = `${message}: ${(cause instanceof StorageError && cause.advice) || hint}`
  const [detail] = details
  // A fault that nobody foresaw is logged each time: no other line describes it.
  if (status === 500 && !(cause instanceof StorageError)) {
    request.log.error({ err: cause, ...detail }, text)
    return refusal
  }
  const incident = detail?.incident === undefined ? undefined : String(detail.incident)
  const reported = logFault(request, { err: cause, ...detail }, text, incident)
  return reported === undefined ? refusal : { ...refusal, details: [{ incident: reported }] }
}

function bodyFor(code: string, message: string, details: readonly ErrorDetail[]): Buffer {
  const entries = details.length === 0 ? [{}] : details
  const errors = entries.map(detail =>
    Object.keys(detail).length === 0 ? { code, message } : { code, message, detail }
  )
  return Buffer.from(JSON.stringify({ errors }))
}

/** Fastify's option `clientErrorHandler`: what Node can not even read as a request. */
export function onClientError(error: Error & { code?: string }, socket: Socket): void {
  // An answer that has begun can't be followed by another; the parser may fail again while this one is sent.
  const { _httpMessage: begun } = socket as Socket & { _httpMessage?: { headersSent: boolean } | null }
  if (socket.writableEnded) return
  if (!socket.writable || begun?.headersSent || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const status = statusOfParser[error.code ?? ''] ?? 400
  const reason = STATUS_CODES[status] ?? 'Bad Request'
  refuseConnection(socket, status, reason.toLowerCase())
}

/** Answers on a connection where no request could be read, and ends it. */
export function refuseConnection(socket: Socket, status: number, message: string): void {
  const body = bodyFor('UNSUPPORTED', message, [])
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    'X-Content-Type-Options: nosniff',
    'Connection: close'
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  socket.write(body)
  linger(socket)
}

const statusOfParser: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408
}
