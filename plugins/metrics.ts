import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { AccessSettings } from '../src/config/access.ts'
import type { Exposition } from '../src/metrics/exposition.ts'
import access from './access.ts'
import { sendError } from './errors.ts'
import ociRouting from './oci-routing.ts'

export interface MetricsOptions {
  exposition: Exposition
  /** Who may read them: with access control, who logs in. Undefined: everybody. */
  access: AccessSettings | undefined
  /** Where the registry's API is, once it is there: robots that may log in are in its storage. */
  api: FastifyInstance
}

/** Serves `/metrics` to Prometheus. */
async function metrics(app: FastifyInstance, options: MetricsOptions): Promise<void> {
  const { exposition, access: settings, api } = options
  app.decorate('storage', api.storage)
  app.setErrorHandler((error, request, reply) => sendError(request, reply, error))
  await app.register(ociRouting)
  await app.register(access, { access: settings, readOnly: true })
  app.get('/metrics', { logLevel: 'error', config: { action: 'login' } }, async (_request, reply) =>
    reply.type(exposition.contentType).send(await exposition.text())
  )
}

export default fp(metrics, { name: 'metrics', fastify: '5.x', encapsulate: true })
