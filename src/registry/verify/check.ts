import type { StorageDriver } from '../../storage/driver.ts'
import type { Digest } from '../digest.ts'
import { type AgedKey, aged, repositoryNames, type Walk } from '../gc/listing.ts'
import { isOurs } from '../keys.ts'
import type { SizeCheck, Sparse } from '../manifest-references.ts'
import type { Orphans } from '../orphans.ts'
import type { Registry } from '../registry.ts'
import type { Fault, VerifyReport } from './fault.ts'

/** One run: what its parts need, and what has come of it so far. */
export interface Check extends Walk {
  storage: StorageDriver
  registry: Registry
  orphans: Orphans
  graceMs: number
  sparse: Sparse
  sizeCheck: SizeCheck
  /** Most things held in memory while they are looked for. */
  batch: number
  report: VerifyReport
  /** What has one right answer is mended. */
  repair: boolean
  /** Digests whose hints were told to be wrong. */
  toldHints: Set<Digest>
  /** Whether a repository is to be looked at. */
  wanted(name: string): boolean
  /** Tells a fault, after mending it where that is asked for and `mend` can. It says with false that it could not. */
  found(fault: Omit<Fault, 'repaired'>, mend?: () => Promise<unknown>): Promise<void>
}

/** Calls of the store that are in flight at a time. */
export const WIDTH = 8

/**
 * What one request writes step by step is looked at again only once it must have been done, in ms: a missing part of
 * something younger is taken for a write under way.
 */
export const SETTLED_MS = 60_000

/** The keys of ours below a prefix of a repository; of any others `checkKeys` tells. */
export async function* keysOf(check: Check, name: string, prefix: string): AsyncGenerator<AgedKey> {
  for await (const key of aged(check, prefix)) if (isOurs(name, key.key)) yield key
}

/** The repositories that are to be looked at. */
export async function* wantedNames(check: Check): AsyncGenerator<string> {
  for await (const name of repositoryNames(check)) if (check.wanted(name)) yield name
}
