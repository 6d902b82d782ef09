import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { createAnswers } from '../src/http/answers.ts'
import { settleBody } from '../src/http/body.ts'
import { type Endpoint, matchEndpoint, segmentsIn } from '../src/http/endpoints.ts'
import { RegistryError } from '../src/registry/errors.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The media type the client gave its body, lower-cased and without parameters; '' when it gave none. */
    bodyType: string
  }
  interface FastifyContextConfig {
    /** Set on routes with the constraint `ociEndpoint`. */
    oci?: { endpoint: Endpoint; skip: number }
  }
}

const OPAQUE = 'application/octet-stream'

/**
 * Routes by the endpoint that a URL's end names, as repository names have slashes in them and the router's parameters
 * have not. A route is declared as `{ url: '/*', constraints: { ociEndpoint: 'blob' } }` and finds the parsed
 * parameters in `request.params`. Bodies reach handlers unparsed, whatever type they claim: `bodyOf` reads them.
 */
async function ociRouting(app: FastifyInstance): Promise<void> {
  if (!app.hasConstraintStrategy('ociEndpoint')) app.addConstraintStrategy(endpointStrategy())
  app.addHook('onRoute', noteEndpoint)

  app.decorateRequest('bodyType', '')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.addHook('onRequest', (request, _reply, done) => {
    takeBodyType(request)
    done(takeParams(request))
  })
  const answers = createAnswers()
  app.addHook('onSend', (request: FastifyRequest, reply: FastifyReply, _payload, done) => {
    settleBody(request.raw, reply)
    answers.add(done)
  })
}

export default fp(ociRouting, { name: 'oci-routing', fastify: '5.x' })

/**
 * The router asks this for every request of the app and knows no prefix, so it goes by the URL's end alone; routes
 * without the constraint take part as if it were not there.
 */
function endpointStrategy() {
  return {
    name: 'ociEndpoint',
    storage: () => {
      const handlers = new Map<unknown, never>()
      return {
        get: (endpoint: unknown) => handlers.get(endpoint) ?? null,
        set: (endpoint: unknown, handler: never) => void handlers.set(endpoint, handler)
      }
    },
    deriveConstraint: (request: { url?: string | undefined }) => matchEndpoint(request.url ?? '')?.endpoint
  }
}

function noteEndpoint(route: RouteOptions & { prefix: string }): void {
  const endpoint = route.constraints?.ociEndpoint as Endpoint | undefined
  if (endpoint === undefined) return
  route.config = { ...route.config, oci: { endpoint, skip: segmentsIn(route.prefix) } }
}

/** @returns the error to answer with where the URL has the endpoint's end and no name before it */
function takeParams(request: FastifyRequest): RegistryError | undefined {
  const { oci } = request.routeOptions.config
  if (oci === undefined) return undefined
  const match = matchEndpoint(request.raw.url ?? '', oci.skip)
  if (match?.endpoint !== oci.endpoint) return new RegistryError('route-unknown')
  request.params = match.params
  return undefined
}

/** Fastify answers 415 to a malformed Content-Type before any handler runs; here the type is part of what is stored. */
function takeBodyType(request: FastifyRequest): void {
  const { headers } = request.raw
  const type = headers['content-type']
  if (type === undefined) return
  request.bodyType = (type.split(';', 1)[0] ?? '').trim().toLowerCase()
  headers['content-type'] = OPAQUE
}
