import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** Tells clients the id that the log has of their request. */
async function requestId(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
}

export default fp(requestId, { name: 'request-id', fastify: '5.x' })
