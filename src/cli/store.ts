import Fastify from 'fastify'
import storagePlugin from '../../plugins/storage.ts'
import { loadConfig } from '../config.ts'
import { withoutWrites } from '../registry/gc/dry-run.ts'
import { type Collector, createCollector } from '../registry/gc.ts'
import { createRegistry } from '../registry/registry.ts'
import { storageProblem } from '../server.ts'
import type { StorageDriver } from '../storage/driver.ts'

export interface Store {
  storage: StorageDriver
  collector: Collector
  /** ms. */
  graceMs: number
}

/** A command could not do what it was asked for; the message is one line for who called it. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/**
 * Runs `work` on the store that the environment configures, beside whatever servers work on it. With `dryRun` nothing is
 * written. Throws `ConfigError` or `StartError` when the store can't be opened.
 */
export async function withStore(
  env: NodeJS.ProcessEnv,
  work: (store: Store) => Promise<void>,
  { dryRun = false } = {}
): Promise<void> {
  const config = loadConfig(env)
  const app = Fastify({ logger: false })
  const { gcGraceMs: graceMs, uploadExpiryMs, bufferMemoryBytes, manifestAllowSparse: sparse } = config
  try {
    await app.register(storagePlugin, {
      storage: config.s3 ? { s3: config.s3 } : { path: config.storagePath },
      bufferMemoryBytes
    })
  } catch (error) {
    throw storageProblem(error, config)
  }
  try {
    const storage = dryRun ? withoutWrites(app.storage) : app.storage
    const registry = createRegistry({ storage, log: app.log, graceMs, uploadExpiryMs, cacheBytes: 0, sparse })
    await work({ storage, collector: createCollector({ storage, registry, graceMs, uploadExpiryMs }), graceMs })
  } finally {
    await app.close()
  }
}
