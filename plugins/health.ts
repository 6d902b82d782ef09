import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Readiness } from '../src/registry/readiness.ts'

export interface HealthOptions {
  /** Undefined as long as nothing has been opened. */
  readiness: () => Readiness | undefined
}

/** Probes come every few seconds: only what goes wrong with one is logged. */
const QUIET = { logLevel: 'error' } as const

/**
 * `/livez`: the process answers. `/readyz`: the storage works and the app is not closing, else 503. Neither asks who
 * calls, and what they tell is one word.
 */
async function health(app: FastifyInstance, { readiness }: HealthOptions): Promise<void> {
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
  })
  app.get('/livez', QUIET, async (_request, reply) =>
    reply.header('cache-control', 'no-store').send({ status: 'live' })
  )
  app.get('/readyz', QUIET, async (_request, reply) => {
    const works = !closing && (await readiness()?.ready())
    const status = closing ? 'closing' : works ? 'ready' : 'storage'
    return reply
      .header('cache-control', 'no-store')
      .code(status === 'ready' ? 200 : 503)
      .send({ status })
  })
}

export default fp(health, { name: 'health', fastify: '5.x', encapsulate: true })
