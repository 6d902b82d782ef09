import { type StorageDriver, StorageError } from '../storage/driver.ts'
import { catalogKey, systemKey } from './keys.ts'
import type { RegistryLog } from './log.ts'

/** One key that is written again and again: so a trial leaves nothing behind, and trials of several processes don't meet. */
const KEY = systemKey('ready')
/** Looked for where nothing is written. It is among the keys that pulls read: those of the system may be closed to this user. */
const LOOKED_FOR = catalogKey('ready')
const WORD = Buffer.from('ready')

/** How long an outcome is trusted. */
const TRUST_MS = 5000
/** A store that takes longer is not ready. */
const LIMIT_MS = 3000

export interface ReadinessOptions {
  storage: StorageDriver
  log: Pick<RegistryLog, 'info' | 'warn'>
  /** Whether the store is to be written to. */
  writes: boolean
  /** ms; tests turn them. */
  trustMs?: number
  limitMs?: number
}

export type Readiness = ReturnType<typeof createReadiness>

/**
 * Tells whether the store works, by using it: something is written and read back, or only looked for where nothing may be
 * written. An outcome holds for five seconds and one trial runs at a time, however many ask.
 */
export function createReadiness(options: ReadinessOptions) {
  const { storage, log, writes, trustMs = TRUST_MS, limitMs = LIMIT_MS } = options
  let known: { ready: boolean; at: number } | undefined
  let running: { outcome: Promise<boolean>; since: number } | undefined
  let told = true

  /** Whether the store works. It never throws, and answers within the limit although the store may hang. */
  async function ready(): Promise<boolean> {
    if (known && performance.now() - known.at < trustMs) return known.ready
    running ??= { outcome: attempt(), since: performance.now() }
    const { outcome, since } = running
    return within(Math.max(0, limitMs - (performance.now() - since)), outcome)
  }

  async function within(ms: number, outcome: Promise<boolean>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>(resolve => {
      timer = setTimeout(() => {
        tell(false, new StorageError('unavailable', `the store does not answer within ${limitMs / 1000} s`))
        resolve(false)
      }, ms)
    })
    return Promise.race([outcome, late]).finally(() => clearTimeout(timer))
  }

  async function attempt(): Promise<boolean> {
    let fault: unknown
    await use().catch(error => {
      fault = error
    })
    running = undefined
    known = { ready: fault === undefined, at: performance.now() }
    tell(known.ready, fault)
    return known.ready
  }

  async function use(): Promise<void> {
    if (!writes) return void (await storage.stat(LOOKED_FOR))
    // A full store takes no pushes and serves pulls, so nobody is to be kept away from it.
    const full = await storage.put(KEY, WORD).then(() => false, isFull)
    const found = await storage.get(KEY)
    if (!full && !found) throw new StorageError('unavailable', 'what was written is not there')
  }

  /** The log hears of changes only. */
  function tell(ready: boolean, fault: unknown): void {
    if (ready === told) return
    told = ready
    if (ready) log.info({}, 'the storage works again: ready')
    else log.warn({ err: fault }, 'the storage does not work: not ready')
  }

  return { ready }
}

function isFull(error: unknown): true {
  if (error instanceof StorageError && error.fault === 'full') return true
  throw error
}
