import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Probes of balancers and people with a browser come here. */
const TEXT = 'An OCI registry: its API is below /v2/.\n'

/** `GET /` answers 200, as CNCF Distribution does: health checks that were made for it ask nothing else. */
async function front(app: FastifyInstance): Promise<void> {
  app.get('/', { logLevel: 'error' }, async (_request, reply) =>
    reply.header('cache-control', 'no-cache').type('text/plain; charset=utf-8').send(TEXT)
  )
}

export default fp(front, { name: 'front', fastify: '5.x', encapsulate: true })
