import fp from 'fastify-plugin'
import type { StorageDriver } from '../src/storage/driver.ts'
import { guard } from '../src/storage/guard.ts'

/** Storage by a driver that the embedder made. Decorates `storage`, and closes it with the app. */
export default fp<{ driver: StorageDriver }>(
  async (app, { driver }) => {
    app.decorate('storage', guard(driver, app.log))
    app.addHook('onClose', () => driver.close())
  },
  { name: 'storage', fastify: '5.x' }
)
