import { StorageError } from '../storage/driver.ts'
import type { RegistryLog } from './log.ts'

/** After a fault has been logged, faults of the same kind are only counted for this long. */
const WINDOW_MS = 10_000
/** Kinds that are counted at once. There are fewer in practice; beyond it all others count as one kind. */
const MOST_KINDS = 100

export interface FaultLogOptions {
  /** Calls `done` after the window; tests replace it. */
  schedule?: (done: () => void) => void
}

/** Where a fault stands among its kind. */
export interface Occurrence {
  /** Whether it is to be logged; else it has been counted. */
  isFirst: boolean
  /** The incident under which the first one was logged. */
  incident: string | undefined
}

export type FaultCounts = ReturnType<typeof createFaultCounts>

/**
 * Keeps a store that fails every request from filling the log: the first fault of a kind is logged, and those that follow
 * are counted and logged together.
 */
export function createFaultCounts({ schedule = later }: FaultLogOptions = {}) {
  const kinds = new Map<string, { count: number; incident: string | undefined; summarize: Summarize }>()

  /**
   * @param kind what is the same for all faults of the kind; nothing that a client chooses
   * @param summarize logs how many followed; called once a window while there are some
   */
  function add(kind: string, summarize: Summarize, incident?: string): Occurrence {
    const key = kinds.has(kind) || kinds.size < MOST_KINDS ? kind : ''
    const known = kinds.get(key)
    if (known) {
      known.count += 1
      return { isFirst: false, incident: known.incident }
    }
    kinds.set(key, { count: 0, incident, summarize })
    schedule(() => endWindow(key))
    return { isFirst: true, incident }
  }

  function endWindow(key: string): void {
    const kind = kinds.get(key)
    if (!kind) return
    if (kind.count === 0) return void kinds.delete(key)
    const { count } = kind
    kind.count = 0
    schedule(() => endWindow(key))
    kind.summarize(count)
  }

  /** Logs what has been counted so far. */
  function flush(): void {
    for (const kind of kinds.values()) if (kind.count > 0) kind.summarize(kind.count)
    kinds.clear()
  }

  return { add, flush }
}

type Summarize = (count: number) => void

const later = (done: () => void): void => void setTimeout(done, WINDOW_MS).unref()

/** What a fault of the store has in common with others of its kind: `unavailable ECONNREFUSED`. */
export function faultKind(error: unknown): { fault?: string; code?: string } {
  const code = systemCode(error)
  return { ...(error instanceof StorageError && { fault: error.fault }), ...(code !== undefined && { code }) }
}

/** The innermost code: the driver wraps what the system or S3 said. */
function systemCode(error: unknown): string | undefined {
  let code: string | undefined
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if ('code' in at && typeof at.code === 'string') code = at.code
  }
  return code
}

/** How many faults of a kind followed the one that was logged, in words. */
export const againText = (count: number): string => `${count} more in the last ${WINDOW_MS / 1000} s`

/** A log that repeats no fault of the store more than once a window: lines with such an `err` are counted instead. */
export function withoutRepeats(log: RegistryLog, counts: FaultCounts = createFaultCounts()): RegistryLog {
  const limited = (level: 'warn' | 'error') => (fields: object, message: string) => {
    const { err } = fields as { err?: unknown }
    if (!(err instanceof StorageError)) return log[level](fields, message)
    const kind = faultKind(err)
    const summarize = (count: number) => log[level]({ ...kind, count }, `${message} (${againText(count)})`)
    if (counts.add(`${message} ${kind.fault} ${kind.code}`, summarize).isFirst) log[level](fields, message)
  }
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: limited('warn'),
    error: limited('error')
  }
}
