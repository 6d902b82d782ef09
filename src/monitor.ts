import Fastify, { type FastifyInstance } from 'fastify'
import responseHeaders from '../plugins/response-headers.ts'
import type { Exposition } from './metrics/exposition.ts'

/** What METRICS_PORT tells of. */
export interface Monitored {
  exposition: Exposition
  /** Whether requests are to be sent here. */
  ready(): Promise<boolean>
}

/** A second server for those who watch the registry: metrics and probes, to whoever can reach it. */
export function createMonitor({ exposition, ready }: Monitored): FastifyInstance {
  const app = Fastify({ logger: false, return503OnClosing: false })
  app.register(responseHeaders, {})
  app.get('/metrics', async (_request, reply) => reply.type(exposition.contentType).send(await exposition.text()))
  app.get('/livez', async () => ({ status: 'live' }))
  app.get('/readyz', async (_request, reply) => {
    const works = await ready()
    return reply.code(works ? 200 : 503).send({ status: works ? 'ready' : 'not ready' })
  })
  return app
}
