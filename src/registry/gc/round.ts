import type { StorageDriver } from '../../storage/driver.ts'
import type { Orphans } from '../orphans.ts'
import type { Registry } from '../registry.ts'
import type { Report } from './report.ts'

/** One collection under way: what its parts need, and what has come of it so far. Times are ms. */
export interface Round {
  storage: StorageDriver
  registry: Registry
  orphans: Orphans
  graceMs: number
  /** How long an upload session may be idle. */
  expiryMs: number
  now(): number
  /** Most things held in memory while what keeps them is looked for. */
  batch: number
  /** Called between two pieces of work: lets others have a turn, and throws when the collection is called off. */
  pace(): Promise<void>
  report: Report
}

/** Calls of the store that one collection has in flight: few, since requests share the store with it. */
export const WIDTH = 8
