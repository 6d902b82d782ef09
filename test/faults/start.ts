import type { FastifyInstance } from 'fastify'
import { buildApp } from '../../src/app.ts'
import { defaults } from '../../src/config.ts'
import { createCollector } from '../../src/registry/gc.ts'
import { createRegistry } from '../../src/registry/registry.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { openFilesystem } from '../../src/storage/filesystem.ts'
import { guard } from '../../src/storage/guard.ts'

export const GRACE = 60 * 60 * 1000
export const EXPIRY = 7 * 24 * GRACE

export interface Started {
  app: FastifyInstance
  storage: StorageDriver
  /** One collection of garbage, as by a process beside the server. */
  collect(): Promise<void>
  close(): Promise<void>
}

/** The registry on a folder, in this process. `local`: whether it takes the folder for one of this machine. */
export async function startOn(path: string, local = true): Promise<Started> {
  const storage = guard(await openFilesystem({ path, local }))
  const config = {
    ...defaults,
    logLevel: 'silent' as const,
    openapiEnabled: false,
    gcIntervalMs: 0,
    gcGraceMs: GRACE,
    uploadExpiryMs: EXPIRY
  }
  const app = await buildApp(config, { storage })
  const quiet = (): void => {}
  const registry = createRegistry({
    storage,
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
    graceMs: GRACE,
    uploadExpiryMs: EXPIRY,
    cacheBytes: 0,
    sparse: 'index'
  })
  const collector = createCollector({ storage, registry, graceMs: GRACE, uploadExpiryMs: EXPIRY })
  return {
    app,
    storage,
    collect: async () => {
      const { problems } = await collector.collect()
      if (problems.length > 0) throw new Error(`a collection met ${JSON.stringify(problems)}`)
    },
    close: () => app.close()
  }
}
