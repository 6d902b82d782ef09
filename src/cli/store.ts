import { stat } from 'node:fs/promises'
import Fastify from 'fastify'
import storagePlugin from '../../plugins/storage.ts'
import { type Config, loadConfig } from '../config.ts'
import { actAsOwner } from '../container/data-owner.ts'
import { withoutWrites } from '../registry/gc/dry-run.ts'
import { type Collector, createCollector } from '../registry/gc.ts'
import { createRegistry, type Registry } from '../registry/registry.ts'
import { createVerifier, type Verifier } from '../registry/verify.ts'
import { quietSdk, storageProblem } from '../running.ts'
import type { StorageDriver } from '../storage/driver.ts'

export interface Store {
  storage: StorageDriver
  registry: Registry
  collector: Collector
  verifier: Verifier
  /** ms. */
  graceMs: number
}

/** A command could not do what it was asked for; the message is one line for who called it. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** A command was called in a way that it does not have; the message is one line for who called it. */
export class UsageError extends CommandError {}

/** What a command does with the store. */
export interface Use {
  /** Nothing is written. */
  dryRun?: boolean
  /** Manifests or tags that clients could pull are deleted, so that DELETE_ENABLED=false forbids it. */
  deletes?: boolean
  /** It is done although READ_ONLY or DELETE_ENABLED forbids it. */
  force?: boolean
}

/**
 * Runs `work` on the store that the environment configures, beside whatever servers work on it. Throws `ConfigError`,
 * `StartError` or `CommandError` when the store can't be opened.
 */
export async function withStore(
  env: NodeJS.ProcessEnv,
  work: (store: Store) => Promise<void>,
  use: Use = {}
): Promise<void> {
  const { dryRun = false } = use
  const config = loadConfig(env)
  await mustExist(config)
  if (!dryRun) {
    mustBeAllowed(config, use)
    const problem = config.s3 ? undefined : await actAsOwner(config.storagePath)
    if (problem !== undefined) throw new CommandError(problem)
  }
  quietSdk(config)
  // No plugin has to be ready within a time: what takes long says itself what it waits for.
  const app = Fastify({ logger: false, pluginTimeout: 0 })
  const { gcGraceMs: graceMs, uploadExpiryMs, bufferMemoryBytes } = config
  const { manifestAllowSparse: sparse, manifestSizeCheck: sizeCheck } = config
  try {
    await app.register(storagePlugin, {
      storage: config.s3 ? { s3: config.s3 } : { path: config.storagePath },
      bufferMemoryBytes,
      readOnly: dryRun
    })
  } catch (error) {
    throw storageProblem(error, config)
  }
  try {
    const storage = dryRun ? withoutWrites(app.storage) : app.storage
    const ignoresCase = storage.ignoresCase ?? false
    const options = { storage, graceMs, uploadExpiryMs, sparse, sizeCheck }
    const registry = createRegistry({ ...options, ignoresCase, log: app.log, cacheBytes: 0 })
    const [collector, verifier] = [createCollector({ ...options, registry }), createVerifier({ ...options, registry })]
    await work({ storage, registry, collector, verifier, graceMs })
  } finally {
    await app.close()
  }
}

/** A server makes its folder. A command on a folder that is not there was given the wrong one. */
async function mustExist({ s3, storagePath }: Config): Promise<void> {
  if (s3) return
  const found = await stat(storagePath).catch(() => undefined)
  if (!found) throw new CommandError(`STORAGE_PATH is ${JSON.stringify(storagePath)}, and there is no such folder`)
}

/** What clients may not do, nobody does by mistake on the command line either. */
export function mustBeAllowed({ readOnly, deleteEnabled }: Config, { deletes = false, force = false }: Use): void {
  if (force) return
  if (readOnly) throw new CommandError('READ_ONLY is true, and this would change the registry; allowed: with --force')
  if (deletes && !deleteEnabled) {
    throw new CommandError('DELETE_ENABLED is false, and this would delete manifests; allowed: with --force')
  }
}
