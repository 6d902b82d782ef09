import { emptyReport } from '../../src/registry/gc/report.ts'
import type { Round } from '../../src/registry/gc/round.ts'
import { createCollector } from '../../src/registry/gc.ts'
import { createOrphans } from '../../src/registry/orphans.ts'
import { createRegistry, type Registry } from '../../src/registry/registry.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory, emptyMemory, type MemoryState } from '../../src/storage/memory.ts'
import { EXPIRY, GRACE } from '../support/world.ts'
import { inSteps } from './actor.ts'
import { replaceChance } from './chance.ts'
import { digests, manifestNames } from './images.ts'

export const HALF = GRACE / 2
const START = Date.UTC(2026, 0)

/** A store, and what time it is there. */
export interface Place {
  state: MemoryState
  now: number
  storage: StorageDriver
}

/** A place with the same in its store, which goes its own way from now on. */
export function placeLike({ state, now }: Pick<Place, 'state' | 'now'>): Place {
  const copied = { objects: new Map(state.objects), uploads: new Map(state.uploads) }
  const place: Place = { state: copied, now, storage: createMemory({ now: () => place.now, state: copied }) }
  return place
}

export const emptyPlace = (): Place => placeLike({ state: emptyMemory(), now: START })

let here = emptyPlace()
const now = (): number => here.now
replaceChance(now)

/** The store of whoever works, wherever that is: making a registry takes long, so that all runs share a few. */
export const storage = inSteps({
  name: 'memory',
  stat: key => here.storage.stat(key),
  get: key => here.storage.get(key),
  read: (key, range) => here.storage.read(key, range),
  put: (key, bytes, options) => here.storage.put(key, bytes, options),
  delete: (keys, options) => here.storage.delete(keys, options),
  list: (prefix, options) => here.storage.list(prefix, options),
  url: (key, options) => here.storage.url(key, options),
  upload: id => here.storage.upload(id),
  append: (id, source, options) => here.storage.append(id, source, options),
  commit: (id, key, from) => here.storage.commit(id, key, from),
  abort: id => here.storage.abort(id),
  listUploads: () => here.storage.listUploads(),
  close: async () => undefined
})

const quiet = (): void => {}
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet }

export interface ProcessOptions {
  /** It knows what is in the store. Default: it has just started. */
  knowing?: boolean
  /** Blobs are small, and written whole. Default: they are appended to uploads and committed, and shared. */
  small?: boolean
  /** Tags never move. Default: they do. */
  immutable?: boolean
}

/** A process of the registry. */
export async function startProcess({ knowing, small, immutable }: ProcessOptions = {}): Promise<Registry> {
  const options = { graceMs: GRACE, uploadExpiryMs: EXPIRY, cacheBytes: 0, sparse: 'none' as const, now }
  const registry = createRegistry({
    storage,
    log,
    ...options,
    ...(!small && { smallBytes: 0 }),
    ...(immutable && { immutableTags: ['*'] })
  })
  if (knowing) await look(registry)
  return registry
}

/** Looks at all that there is, and keeps in mind what a process does. */
async function look({ repositories, manifests }: Registry): Promise<void> {
  for (const name of (await repositories.list({ n: 10 })).items) {
    await repositories.ensure(name)
    for (const manifest of manifestNames) {
      await manifests.get(name, { digest: digests[manifest] }, () => true).catch(() => undefined)
    }
  }
}

/** Goes to a place: everybody works there from now on. Returns where it was before. */
export function goTo(place: Place): Place {
  const before = here
  here = place
  return before
}

/** What a collector's parts need, one collection long. */
export function beginRound(registry: Registry): Round {
  return {
    storage,
    registry,
    orphans: createOrphans({ storage, graceMs: GRACE, now }),
    graceMs: GRACE,
    expiryMs: EXPIRY,
    now,
    batch: 1000,
    pace: async () => undefined,
    report: emptyReport()
  }
}

export const collectorOf = (registry: Registry) =>
  createCollector({ storage, registry, graceMs: GRACE, uploadExpiryMs: EXPIRY, now })
