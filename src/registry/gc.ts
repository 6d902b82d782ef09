import type { StorageDriver } from '../storage/driver.ts'
import type { Digest } from './digest.ts'
import { RegistryError } from './errors.ts'
import { createClock } from './gc/clock.ts'
import { collectContents } from './gc/contents.ts'
import { collectDangling } from './gc/dangling.ts'
import { collectLinks } from './gc/links.ts'
import { repositoryNames } from './gc/listing.ts'
import { collectManifests } from './gc/manifests.ts'
import { createPace } from './gc/pace.ts'
import { emptyReport, type Report } from './gc/report.ts'
import { collectCatalog, mendCatalog, removeRepository } from './gc/repositories.ts'
import type { Round } from './gc/round.ts'
import { collectSessions } from './gc/sessions.ts'
import { findWhy, type Why } from './gc/why.ts'
import { createOrphans } from './orphans.ts'
import { matcherOf } from './patterns.ts'
import type { Registry } from './registry.ts'

export interface CollectorOptions {
  storage: StorageDriver
  /** Over the same storage. */
  registry: Registry
  /** The same for all who write to the store, in ms. */
  graceMs: number
  /** How long an upload session may be idle, in ms. */
  uploadExpiryMs: number
  /** Most things held in memory while what keeps them is looked for. Default 100,000: some 30 MB. */
  batch?: number
  /** Which part of the time it works, above 0 and at most 1. Default 1. */
  share?: number
  /** A clock in ms; tests turn it. Default: the machine's, and a collection stops when that was set. */
  now?: (() => number) | undefined
}

export interface CollectOptions {
  /** Take manifests as well that no tag leads to. Default false. */
  untagged?: boolean | undefined
  /**
   * Only the manifests and links of the repositories that this pattern says (src/registry/patterns.ts); contents and
   * sessions are not looked at.
   */
  repository?: string | undefined
  /** Ends the collection early, with the signal's reason thrown. */
  signal?: AbortSignal | undefined
}

/**
 * Gives back what nothing needs, while others push (docs/storage.md, "Collecting"). Any number of collectors may run at
 * once, and each may be killed anywhere.
 */
export function createCollector(options: CollectorOptions) {
  const { storage, registry, graceMs, uploadExpiryMs, batch = 100_000, share = 1 } = options

  function begin(signal?: AbortSignal): Round {
    const now = options.now ?? createClock()
    const orphans = createOrphans({ storage, graceMs, now })
    return {
      storage,
      registry,
      orphans,
      graceMs,
      expiryMs: uploadExpiryMs,
      now,
      batch,
      pace: createPace(share, signal),
      report: emptyReport()
    }
  }

  /** One collection. Throws `StorageError` when the store fails; what went before that is gone. */
  async function collect({ untagged = false, repository, signal }: CollectOptions = {}): Promise<Report> {
    const round = begin(signal)
    const { report } = round
    const begun = performance.now()
    const wanted = repository === undefined ? () => true : matcherOf(repository)
    if (repository === undefined) await collectSessions(round)
    for await (const name of repositoryNames(round)) if (wanted(name)) await collectRepository(round, name, untagged)
    await collectCatalog(round, wanted)
    if (repository === undefined) await collectContents(round)
    report.durationMs = Math.round(performance.now() - begun)
    return report
  }

  /** What keeps a manifest or a blob. Throws `manifest-unknown`. */
  const why = (name: string, digest: Digest): Promise<Why> => findWhy(begin(), name, digest)

  /** Deletes all that a repository holds now. Throws `name-unknown`. */
  async function remove(name: string): Promise<Report> {
    const round = begin()
    await removeRepository(round, name)
    return round.report
  }

  return { collect, why, remove }
}

export type Collector = ReturnType<typeof createCollector>

/** Manifests first, so that in the same round goes what only they needed. */
async function collectRepository(round: Round, name: string, untagged: boolean): Promise<void> {
  round.report.repositories++
  try {
    await collectManifests(round, name, untagged)
    await collectDangling(round, name)
    await collectLinks(round, name)
    await mendCatalog(round, name)
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error
    round.report.problems.push({ repository: name, message: error.message })
  }
}
