import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { type Config, defaults } from '../../src/config.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { openFilesystem } from '../../src/storage/filesystem.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { type Client, createClient, overInject, overSocket } from './client.ts'
import { createSecretiveLog } from './secrets.ts'

type Openers = Record<string, (t: Test) => Promise<StorageDriver>>
const memory: Openers = { memory: async () => createMemory() }
const filesystem: Openers = { filesystem: async t => openFilesystem({ path: await scratch(t) }) }

/**
 * What the HTTP tests run on: what needs nothing but this machine, memory alone where that is asked for, or an S3 server
 * where one is named.
 */
const drivers: Openers = process.env.S3_TEST_ENDPOINT
  ? { s3: async t => (await import('./s3.ts')).openScratch(t) }
  : { ...memory, ...(process.env.TEST_STORAGE !== 'memory' && filesystem) }

async function scratch(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'marina-routes-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

export interface Settings extends Partial<Config> {
  now?: () => number
  steady?: () => number
  /** Sees each line of the log. */
  onLog?: (line: Record<string, unknown>) => void
}

export interface Opened extends Client {
  app: FastifyInstance
  storage: StorageDriver
  /** The same registry over real connections. */
  wire(): Promise<Client>
  /** Another registry on the same storage, as a second process would be. */
  peer(settings?: Settings): Promise<Opened>
}

/** The app over a store, and a client of it. */
export async function openRegistry(t: Test, storage: StorageDriver, settings: Settings = {}): Promise<Opened> {
  const { now, steady, onLog, ...config } = settings
  const all = { ...defaults, logLevel: 'trace' as const, openapiEnabled: false, ...config }
  const log = createSecretiveLog(onLog)
  const app = await buildApp(all, { storage, log, steady, ...(now && { now }) })
  t.teardown(async () => {
    await app.close()
    log.assertSecretive()
  })
  return {
    ...createClient(overInject(app)),
    app,
    storage,
    wire: async () => createClient(await overSocket(app)),
    peer: (other = settings) => openRegistry(t, storage, other)
  }
}

/** One test, run on every driver: each time on an empty registry of its own. */
export function onEachDriver(
  title: string,
  run: (t: Test, registry: Opened) => Promise<void>,
  settings: Settings = {}
): void {
  for (const [driver, open] of Object.entries(drivers)) {
    t.test(`${driver}: ${title}`, async t => run(t, await openRegistry(t, await open(t), settings)))
  }
}

export async function keysIn(storage: StorageDriver, prefix = ''): Promise<string[]> {
  return (await storage.list(prefix)).map(({ key }) => key)
}

export async function uploadsIn(storage: StorageDriver): Promise<string[]> {
  const ids: string[] = []
  for await (const { id } of storage.listUploads()) ids.push(id)
  return ids
}
