import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { limitConnections } from '../src/http/connections.ts'
import { RegistryError } from '../src/registry/errors.ts'

export interface ConnectionsOptions {
  /** Most connections at once of this process. */
  most: number
}

/** How often the log says that the limit is reached, in ms. */
const SAID_EVERY = 60_000

/** Refuses requests on connections beyond a number, so that one client can't use up the files that a process may open. */
async function connections(app: FastifyInstance, { most }: ConnectionsOptions): Promise<void> {
  let saidAt = Number.NEGATIVE_INFINITY
  const isBeyond = limitConnections(app.server, most, () => {
    if (performance.now() - saidAt < SAID_EVERY) return
    saidAt = performance.now()
    app.log.warn(`all ${most} connections of MAX_CONNECTIONS are open: more are refused until some close`)
  })
  app.addHook('onRequest', (request, reply, done) => {
    // A process that is only busy is not to be restarted.
    if (!isBeyond(request.raw.socket) || request.routeOptions.url === '/livez') return done()
    reply.header('connection', 'close')
    done(new RegistryError('too-many-connections'))
  })
}

export default fp(connections, { name: 'connections', fastify: '5.x' })
