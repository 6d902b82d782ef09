import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint, EndpointParams } from './endpoints.ts'

/** A write, a denial or a login, as the audit log has it. What is not known is left out. */
export interface AuditEvent {
  /** What was asked for: `manifest.push`. */
  event: string
  /** `failed`: a write that broke, so that it is not known whether it took place. */
  outcome: 'done' | 'denied' | 'failed'
  status: number
  /** Who; not there where nobody has said, or the name is no user's: it may be a secret that was put in the wrong place. */
  user?: string | undefined
  address: string
  repository?: string | undefined
  /** The tags that a push has set, or the one deleted. */
  tags?: string[] | undefined
  digest?: string | undefined
  /** The source of a mount. */
  from?: string | undefined
}

/**
 * What the audit log says of a request; undefined: nothing, as of most that read.
 *
 * @param address of the client
 */
export function auditEventOf(request: FastifyRequest, reply: FastifyReply, address: string): AuditEvent | undefined {
  const { action, oci, logsIn = false } = request.routeOptions.config
  if (action === undefined || (action === 'open' && !logsIn)) return undefined
  const status = reply.statusCode
  const asked = oci ? eventOf(oci.endpoint, request) : `${action}.list`
  const failedLogin = status === 401 && (logsIn ? sendsPassword(request) : isUnknown(request))
  const who = { status, user: request.caller?.user ?? request.claimedUser, address }
  if (action === 'login' || logsIn || failedLogin) {
    // Every client asks the base without a word of who it is first, to learn how to log in.
    if (!failedLogin && who.user === undefined) return undefined
    if (failedLogin || status === 200) return { event: 'login', outcome: failedLogin ? 'denied' : 'done', ...who }
  }
  const outcome = outcomeOf(status, WRITES.has(asked) ? wrote(oci!.endpoint, request.method) : undefined)
  return outcome && { event: asked, outcome, ...who, ...(oci && subjectOf(asked, request, reply)) }
}

/** Who they say they are did not prove true. Who comes with a token that grants too little is known. */
const isUnknown = ({ headers, caller }: FastifyRequest): boolean =>
  headers.authorization !== undefined && caller === undefined

const sendsPassword = ({ method, headers }: FastifyRequest): boolean =>
  method === 'POST' || headers.authorization !== undefined

const WRITES: ReadonlySet<string> = new Set([
  'blob.push',
  'blob.mount',
  'blob.delete',
  'manifest.push',
  'manifest.delete',
  'tag.delete'
])

/** The status of a request that has changed what the registry holds; undefined: it does not, as a step of an upload. */
function wrote(endpoint: Endpoint, method: string): number | undefined {
  if (method === 'DELETE') return endpoint === 'upload' ? undefined : 202
  return method === 'PUT' || method === 'POST' ? 201 : undefined
}

function outcomeOf(status: number, written: number | undefined): AuditEvent['outcome'] | undefined {
  // 409 is a tag that may not move.
  if (status === 401 || status === 403 || status === 409) return 'denied'
  if (written === undefined) return undefined
  if (status === written) return 'done'
  return status >= 500 ? 'failed' : undefined
}

/** What a request to an endpoint asks for: `manifest.push`. */
export function eventOf(endpoint: Endpoint, { method, params, query }: FastifyRequest): string {
  const { reference = '' } = params as EndpointParams
  switch (endpoint) {
    case 'upload':
      return 'blob.push'
    case 'uploads':
      return (query as PushQuery).mount === undefined ? 'blob.push' : 'blob.mount'
    case 'blob':
      return method === 'DELETE' ? 'blob.delete' : 'blob.pull'
    case 'manifest':
      if (method === 'PUT') return 'manifest.push'
      if (method === 'DELETE') return reference.includes(':') ? 'manifest.delete' : 'tag.delete'
      return 'manifest.pull'
    default:
      return `${endpoint}.list`
  }
}

interface PushQuery {
  mount?: string
  from?: string
  digest?: string
  tag?: string | string[]
}

/** What it was done to. Of a request that was refused early, as its URL says. */
export function subjectOf(event: string, request: FastifyRequest, reply: FastifyReply): Partial<AuditEvent> {
  const { name, digest, reference } = request.params as EndpointParams
  const { mount, from, digest: closing, tag } = (request.query ?? {}) as PushQuery
  const tags = [reference, ...(event === 'manifest.push' ? [tag].flat() : [])].filter(
    text => text !== undefined && !text.includes(':')
  ) as string[]
  const said = reference?.includes(':') ? reference : (digest ?? mount ?? closing)
  const made = reply.getHeader('docker-content-digest') ?? said
  return {
    repository: name,
    ...(tags.length > 0 && { tags }),
    ...(made !== undefined && { digest: String(made) }),
    ...(mount !== undefined && from !== undefined && { from })
  }
}
