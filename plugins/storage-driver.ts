import fp from 'fastify-plugin'
import type { StorageDriver } from '../src/storage/driver.ts'
import { guard, type StorageObserver } from '../src/storage/guard.ts'

/** Storage by a driver that the embedder made. Decorates `storage`, and closes it with the app. */
export default fp<{ driver: StorageDriver; observer?: StorageObserver | undefined }>(
  async (app, { driver, observer }) => {
    app.decorate('storage', guard(driver, app.log, observer))
    app.addHook('onClose', () => driver.close())
  },
  { name: 'storage', fastify: '5.x' }
)
