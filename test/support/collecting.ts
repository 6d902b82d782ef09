import { digestBytes } from '../../src/registry/digest.ts'
import { type CollectorOptions, createCollector } from '../../src/registry/gc.ts'
import type { Registry, RegistryOptions } from '../../src/registry/registry.ts'
import { IMAGE, imageOf, json } from './images.ts'
import { chunk, createWorld, EXPIRY, GRACE, type World } from './world.ts'

export const CONFIG = Buffer.from('{}')
export const LAYER = Buffer.from('a layer')
export const config = digestBytes(CONFIG)
export const layer = digestBytes(LAYER)
export const IMAGE_BYTES = json(imageOf(CONFIG, [LAYER]))
export const image = digestBytes(IMAGE_BYTES)

export interface Collecting extends World {
  registry: Registry
  /** The clock that the store tells ages by. */
  now(): number
  /** What a collector in a process of its own is made of. */
  options(more?: Partial<CollectorOptions>): CollectorOptions
  /** Such a collector. */
  collector(options?: Partial<CollectorOptions>): ReturnType<typeof createCollector>
  /** One collection with such a collector. */
  collect: ReturnType<typeof createCollector>['collect']
  /** Rounds of collection, each after more than a grace has passed. */
  rounds(count: number): Promise<void>
  pushBlob(name: string, bytes: Buffer): Promise<void>
  pushImage(name: string, tag?: string): Promise<void>
}

/** A store with a registry and collectors on it, and a clock that stands still. */
export function createCollecting(options: Partial<RegistryOptions> = {}): Collecting {
  const world = createWorld()
  const start = Date.UTC(2026, 0)
  let passed = 0
  const now = (): number => start + passed
  const pass = (ms: number): void => {
    passed += ms
    world.pass(ms)
  }
  const registry = world.process({ cacheBytes: 0, ...options })
  const optionsOf = (more: Partial<CollectorOptions> = {}): CollectorOptions => {
    const storage = more.storage ?? world.storage
    const own = world.process({ cacheBytes: 0, storage })
    return { storage, registry: own, graceMs: GRACE, uploadExpiryMs: EXPIRY, now, ...more }
  }
  const collector = (more?: Partial<CollectorOptions>) => createCollector(optionsOf(more))
  const pushBlob = (name: string, bytes: Buffer) =>
    registry.uploads.single(name, digestBytes(bytes), chunk(bytes.toString()))
  return {
    ...world,
    now,
    pass,
    registry,
    options: optionsOf,
    collector,
    collect: options => collector().collect(options),
    pushBlob,
    async rounds(count) {
      const { collect } = collector()
      for (let round = 0; round < count; round++) {
        pass(GRACE + 1)
        await collect()
      }
    },
    async pushImage(name, tag) {
      await pushBlob(name, CONFIG)
      await pushBlob(name, LAYER)
      await registry.manifests.put(name, tag === undefined ? { digest: image } : { tag }, IMAGE_BYTES, IMAGE)
    }
  }
}
