import { isFull, type StorageDriver } from '../storage/driver.ts'
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

const NO_ROOM = 'the store has no room for what a collection writes here: free some, and the next collection goes on'

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
  /** Is told how far the collection is. To know it, repositories are counted first. */
  onProgress?: ((progress: CollectProgress) => void) | undefined
}

export interface CollectProgress {
  stage: 'sessions' | 'repositories' | 'contents'
  /** Of the stage; from 0 to 1. */
  part: number
  /** The repository that was looked at last. */
  position: string
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
  async function collect(wishes: CollectOptions = {}): Promise<Report> {
    const { untagged = false, repository, signal, onProgress } = wishes
    const round = begin(signal)
    const { report } = round
    const begun = performance.now()
    const wanted = repository === undefined ? () => true : matcherOf(repository)
    onProgress?.({ stage: 'sessions', part: 0, position: '' })
    if (repository === undefined) await collectSessions(round)
    const total = onProgress ? await countRepositories(round, wanted) : 0
    let contents = async (): Promise<void> => {
      onProgress?.({ stage: 'contents', part: 0, position: '' })
      if (repository === undefined) await collectContents(round)
    }
    for await (const name of repositoryNames(round)) {
      if (!wanted(name)) continue
      report.repositories++
      if (!(await collectRepository(round, name, untagged))) {
        // To take links is to write something, and there is no room for it: what is ripe gives some back.
        await contents()
        contents = async () => undefined
        const done = await collectRepository(round, name, untagged)
        if (!done) report.problems.push({ repository: name, message: NO_ROOM })
      }
      onProgress?.({ stage: 'repositories', part: Math.min(1, report.repositories / total), position: name })
    }
    await collectCatalog(round, wanted)
    await contents()
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

/** Manifests first, so that in the same round goes what only they needed. False: the store has no room for it. */
async function collectRepository(round: Round, name: string, untagged: boolean): Promise<boolean> {
  try {
    await collectManifests(round, name, untagged)
    await collectDangling(round, name)
    await collectLinks(round, name)
    await mendCatalog(round, name)
  } catch (error) {
    if (isFull(error)) return false
    if (!(error instanceof RegistryError)) throw error
    round.report.problems.push({ repository: name, message: error.message })
  }
  return true
}

async function countRepositories(round: Round, wanted: (name: string) => boolean): Promise<number> {
  let count = 0
  for await (const name of repositoryNames(round)) if (wanted(name)) count++
  return count
}
