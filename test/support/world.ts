import { createRegistry, type Registry, type RegistryOptions } from '../../src/registry/registry.ts'
import type { Chunk } from '../../src/registry/uploads.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { createInterleaved } from './interleave.ts'

export const GRACE = 4 * 60 * 60 * 1000
export const EXPIRY = 7 * 24 * 60 * 60 * 1000

export interface World {
  storage: StorageDriver
  /** Keys of the store. */
  keys(prefix: string): Promise<string[]>
  /** Ids of the uploads that are open. */
  uploads(): Promise<string[]>
  /** Every call of the store so far, as `method key`. */
  calls: string[]
  /** Calls that begin so fail from now on. */
  broken: Set<string>
  /** Messages of the log, of level warn and above. */
  warnings: string[]
  /** Lets time pass, in ms. */
  pass(ms: number): void
  /** One more process on the store. */
  process(options?: Partial<RegistryOptions>): Registry
  /** Empties the store, but for its signing key, for another run of its processes, on a repository they don't remember. */
  clear(): Promise<void>
}

/** A store in memory with a clock that stands still, and any number of processes on it. */
export function createWorld(): World {
  let now = Date.UTC(2026, 0)
  const [calls, broken, warnings] = [[] as string[], new Set<string>(), [] as string[]]
  const faults = (method: string, key: string): Error | undefined => {
    const call = `${method} ${key}`
    calls.push(call)
    for (const start of broken) if (call.startsWith(start)) return new Error(`broken: ${call}`)
    return undefined
  }
  const storage = createInterleaved(createMemory({ now: () => now, faults }))
  const keys = async (prefix: string): Promise<string[]> => (await storage.list(prefix)).map(({ key }) => key)
  const quiet = (): void => {}
  const warn = (_: object, message: string): void => void warnings.push(message)
  return {
    storage,
    keys,
    uploads: async () => {
      const ids: string[] = []
      for await (const { id } of storage.listUploads()) ids.push(id)
      return ids
    },
    calls,
    broken,
    warnings,
    pass: ms => {
      now += ms
    },
    clear: async () => {
      await storage.delete((await keys('')).filter(key => !key.startsWith('system/')))
    },
    process: options =>
      createRegistry({
        storage,
        log: { debug: quiet, info: quiet, warn, error: warn },
        graceMs: GRACE,
        uploadExpiryMs: EXPIRY,
        cacheBytes: 1024 * 1024,
        sparse: 'index',
        smallBytes: 0, // for the longer way, on which bytes are shared
        now: () => now,
        ...options
      })
  }
}

/** A body of known length; of none as with a PUT that only closes. */
export function chunk(text = '', range?: { start: number; end: number }): Chunk {
  const bytes = Buffer.from(text)
  return { source: source(bytes), length: bytes.length, range }
}

async function* source(bytes: Buffer): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}

/** The text of a blob, read as a client would. */
export async function textOf(registry: Registry, name: string, digest: Parameters<Registry['blobs']['get']>[1]) {
  const body = await (await registry.blobs.get(name, digest)).read()
  if (Buffer.isBuffer(body)) return body.toString()
  const pieces: Uint8Array[] = []
  for await (const piece of body) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces).toString()
}
