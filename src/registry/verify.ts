import type { StorageDriver } from '../storage/driver.ts'
import { repositoryNames } from './gc/listing.ts'
import { createPace } from './gc/pace.ts'
import { placeOf } from './keys.ts'
import type { SizeCheck, Sparse } from './manifest-references.ts'
import { createOrphans } from './orphans.ts'
import { matcherOf } from './patterns.ts'
import type { Registry } from './registry.ts'
import { type Check, wantedNames } from './verify/check.ts'
import { checkContents } from './verify/contents.ts'
import { emptyVerifyReport, type Fault, type VerifyReport } from './verify/fault.ts'
import { checkHints } from './verify/hints.ts'
import { checkCatalog, checkRepository } from './verify/repositories.ts'

export interface VerifierOptions {
  storage: StorageDriver
  /** Over the same storage. */
  registry: Registry
  /** The same for all who write to the store, in ms. */
  graceMs: number
  /** Which references of a manifest may be missing. */
  sparse: Sparse
  /** `warn`: a manifest may tell another size than is stored. Default `strict`. */
  sizeCheck?: SizeCheck
  /** Most things held in memory while they are looked for. Default 50,000: some 50 MB. */
  batch?: number
  /** A clock in ms; tests turn it. */
  now?: () => number
}

/** How far a run is. */
export interface Progress {
  stage: 'repositories' | 'contents' | 'hints'
  /** From 0 to 1. */
  part: number
  /** Where a later run may go on: what comes before it is done. */
  position: string
}

export interface VerifyOptions {
  /** Mend what has one right answer. Default false: nothing is written. */
  repair?: boolean | undefined
  /** Only the repositories that this pattern says (src/registry/patterns.ts), and the contents that they link. */
  repository?: string | undefined
  /** Go on behind this position of an earlier run. */
  after?: string | undefined
  /** Ends the run early, with the signal's reason thrown. */
  signal?: AbortSignal | undefined
  onFault: (fault: Fault) => void
  onProgress?: (progress: Progress) => void
}

/** Begins the position of a content; the others are names of repositories. */
const CONTENT = '@'

/** Looks whether all that the store holds is whole and fits together, while others use it (docs/operations.md). */
export function createVerifier(options: VerifierOptions) {
  const {
    storage,
    registry,
    graceMs,
    sparse,
    sizeCheck = 'strict',
    batch = 50_000,
    now = () => performance.now()
  } = options

  /** One run. Throws `StorageError` when the store fails, as opposed to one of its objects. */
  async function verify(wishes: VerifyOptions): Promise<VerifyReport> {
    const { repair = false, repository, after = '', signal, onFault, onProgress = () => {} } = wishes
    const report = emptyVerifyReport()
    const begun = now()
    const check: Check = {
      storage,
      registry,
      orphans: createOrphans({ storage, graceMs, now }),
      graceMs,
      sparse,
      sizeCheck,
      batch,
      now,
      pace: createPace(1, signal),
      report,
      repair,
      toldHints: new Set(),
      wanted: repository === undefined ? () => true : matcherOf(repository),
      async found(fault, mend) {
        const repaired = repair && mend !== undefined && (await mend()) !== false
        report.faults++
        if (repaired) report.repaired++
        onFault({ ...fault, repaired })
      }
    }
    if (!after.startsWith(CONTENT)) await verifyRepositories(check, after, onProgress)
    await checkContents(check, after.startsWith(CONTENT) ? after.slice(CONTENT.length) : '', content =>
      onProgress({ stage: 'contents', part: partOf(content), position: CONTENT + content })
    )
    if (repository === undefined) await checkHints(check)
    await checkCatalog(check)
    report.durationMs = Math.round(now() - begun)
    return report
  }

  return { verify }
}

export type Verifier = ReturnType<typeof createVerifier>

async function verifyRepositories(
  check: Check,
  after: string,
  onProgress: (progress: Progress) => void
): Promise<void> {
  let total = 0
  for await (const _ of wantedNames(check)) total++
  let done = 0
  for await (const name of repositoryNames(check)) {
    if (!check.wanted(name)) continue
    done++
    if (after !== '' && placeOf(name) <= placeOf(after)) continue
    await checkRepository(check, name)
    onProgress({ stage: 'repositories', part: Math.min(1, done / total), position: name })
  }
}

/** Ids are random, so an id tells which part of them lies before it. */
const partOf = (content: string): number => Number.parseInt(content.slice(0, 8), 16) / 2 ** 32 || 0
