import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { traceIdOf } from '../src/http/request-id.ts'
import { shownPath } from '../src/http/shown-url.ts'
import type { Tracing } from '../src/tracing/tracing.ts'

/** Makes a span of each request, and tells the log of its trace. */
async function requestTracing(app: FastifyInstance, { tracing }: { tracing: Tracing }): Promise<void> {
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    const { method, headers, is404 } = request
    const route = is404 ? undefined : request.routeOptions.config.path
    const span = tracing.begin({ method, route, path: shownPath(request.raw.url ?? ''), headers })
    const { raw } = reply
    raw.once('close', () => span.end(raw.writableEnded ? raw.statusCode : undefined))
    // The log knows the client's trace already.
    if (traceIdOf(headers) === undefined) request.log = reply.log = request.log.child({ trace_id: span.traceId })
    span.run(done)
  })
}

export default fp(requestTracing, { name: 'request-tracing', fastify: '5.x' })
