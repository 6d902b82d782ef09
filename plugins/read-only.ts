import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { RegistryError } from '../src/registry/errors.ts'

/** Refuses everything that would change the registry, before its body. Register it before the routes. */
async function readOnly(app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', route => {
    const { action, oci } = route.config ?? {}
    if (action !== 'push' && action !== 'delete') return
    const allow = oci?.endpoint === 'upload' || oci?.endpoint === 'uploads' ? [] : ['GET', 'HEAD']
    const refuse = async (): Promise<void> => {
      throw new RegistryError('read-only', { allow })
    }
    route.onRequest = [...[route.onRequest ?? []].flat(), refuse]
  })
}

export default fp(readOnly, { name: 'read-only', dependencies: ['oci-routing', 'access'], fastify: '5.x' })
