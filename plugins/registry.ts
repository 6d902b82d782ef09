import fp from 'fastify-plugin'
import { withoutRepeats } from '../src/registry/fault-log.ts'
import { createRegistry, type Registry, type RegistryOptions } from '../src/registry/registry.ts'
import type { StorageDriver } from '../src/storage/driver.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where the bytes are; decorated by one of the storage plugins. */
    storage: StorageDriver
    /** The registry's rules over that storage. */
    registry: Registry
  }
}

/** How often what idle upload sessions hold is looked for, in ms. */
const EXPIRY_ROUND = 60 * 60 * 1000

export interface RegistryPluginOptions extends Omit<RegistryOptions, 'storage' | 'ignoresCase' | 'log'> {
  /** Whether what idle upload sessions hold is given back. */
  expires: boolean
}

/** Decorates the instance with the registry, over the storage that it has. */
export default fp<RegistryPluginOptions>(
  async (app, { expires, ...options }) => {
    const { storage } = app
    const ignoresCase = storage.ignoresCase ?? false
    const registry = createRegistry({ ...options, storage, ignoresCase, log: withoutRepeats(app.log) })
    app.decorate('registry', registry)

    if (!expires) return
    const round = setInterval(async () => {
      try {
        const expired = await registry.uploads.expire()
        if (expired > 0) app.log.info({ expired }, 'upload sessions expired')
      } catch (error) {
        app.log.warn({ err: error }, 'could not look for expired upload sessions; the next round tries again')
      }
    }, EXPIRY_ROUND)
    round.unref()
    app.addHook('onClose', async () => clearInterval(round))
  },
  { name: 'registry', dependencies: ['storage'], fastify: '5.x' }
)
