import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import { addressOf } from '../src/http/address.ts'
import { bodyLength } from '../src/http/body-length.ts'
import type { EndpointParams } from '../src/http/endpoints.ts'
import { type ErrorKind, RegistryError } from '../src/registry/errors.ts'

export interface UploadLimitsOptions {
  /** Requests of one client at once that bring bytes of blobs; 0: any number. */
  uploads: number
  /** Upload sessions of one client that hold bytes; 0: any number. */
  uploadSessions: number
  /** How long a session may be idle, in ms. */
  uploadExpiryMs: number
  /** A monotonic clock, in ms. */
  steady?: (() => number) | undefined
}

/** Clients whose sessions are counted, at most. */
const COUNTED = 10_000

/** Errors after which a session holds nothing any more. */
const ENDS: ReadonlySet<ErrorKind> = new Set<ErrorKind>(['upload-unknown', 'digest-mismatch'])

/**
 * Refuses uploads beyond what one client may do, before their bodies. A client is a user, or an address where nobody has
 * logged in. Each process counts those that it gets.
 */
async function uploadLimits(app: FastifyInstance, options: UploadLimitsOptions): Promise<void> {
  const { uploads, uploadSessions, uploadExpiryMs, steady = () => performance.now() } = options
  if (uploads > 0) limitRequests(app, uploads)
  if (uploadSessions > 0) limitSessions(app, uploadSessions, uploadExpiryMs, steady)
}

export default fp(uploadLimits, { name: 'upload-limits', dependencies: ['oci-routing', 'access'], fastify: '5.x' })

/** What is counted together. */
const clientOf = (request: FastifyRequest): string => {
  const user = request.caller?.user
  return user === undefined ? `address ${addressOf(request)}` : `user ${user}`
}

function limitRequests(app: FastifyInstance, most: number): void {
  const running = new Map<string, number>()
  const add = (client: string, number: number): void => {
    const sum = (running.get(client) ?? 0) + number
    if (sum > 0) running.set(client, sum)
    else running.delete(client)
  }
  app.addHook('onRequest', (request, reply, done) => {
    if (!bringsBytes(request)) return done()
    const client = clientOf(request)
    if ((running.get(client) ?? 0) >= most) return done(tooMany(`more than ${most} uploads at once`))
    add(client, 1)
    reply.raw.once('close', () => add(client, -1))
    done()
  })
}

function bringsBytes(request: FastifyRequest): boolean {
  const endpoint = request.routeOptions.config.oci?.endpoint
  return (endpoint === 'upload' || endpoint === 'uploads') && bodyLength(request) !== 0
}

/** A session that nothing was sent to holds nothing, and is not counted. */
function limitSessions(app: FastifyInstance, most: number, expiryMs: number, steady: () => number): void {
  /** By client: when bytes came to each session last, the longest ago first. */
  const clients = new LRUCache<string, Map<string, number>>({ max: COUNTED })

  function sessionsOf(client: string): Map<string, number> {
    const sessions = clients.get(client) ?? new Map<string, number>()
    for (const [session, last] of sessions) {
      if (last + expiryMs >= steady()) break
      sessions.delete(session)
    }
    clients.set(client, sessions)
    return sessions
  }

  app.addHook('onRequest', (request, _reply, done) => {
    const session = sessionOf(request)
    if (session === undefined || !bringsBytes(request)) return done()
    const sessions = sessionsOf(clientOf(request))
    if (!sessions.has(session) && sessions.size >= most) {
      return done(tooMany(`more than ${most} uploads that are begun and not ended`))
    }
    sessions.delete(session)
    sessions.set(session, steady())
    done()
  })
  const end = (request: FastifyRequest): void => {
    const session = sessionOf(request)
    if (session !== undefined) clients.get(clientOf(request))?.delete(session)
  }
  app.addHook('onError', (request, _reply, error, done) => {
    if (error instanceof RegistryError && ENDS.has(error.kind)) end(request)
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (endsWell(request, reply)) end(request)
    done()
  })
}

/** The id of the session that a request is about; a name of it changes with every answer. */
function sessionOf({ params, routeOptions }: FastifyRequest): string | undefined {
  if (routeOptions.config.oci?.endpoint !== 'upload') return undefined
  return (params as EndpointParams).session?.slice(0, 36)
}

const endsWell = ({ method }: FastifyRequest, { statusCode }: FastifyReply): boolean =>
  (method === 'PUT' && statusCode === 201) || (method === 'DELETE' && statusCode === 204)

const tooMany = (message: string): RegistryError =>
  new RegistryError('too-many-requests', { retryAfter: 1 }, { message })
