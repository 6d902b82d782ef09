import { unwatchFile, watchFile } from 'node:fs'
import type { RegistryLog } from './registry/log.ts'

/** How often a file is looked at, in ms. Looking works everywhere, also where a mounted secret is a link that is swapped. */
const INTERVAL = 1000

export interface WatchOptions<T> {
  /** The variable that names the files, for the log. */
  name: string
  paths: readonly string[]
  /** Reads the files. Throws where they can't be used. */
  load: () => T
  /** Called with what was read anew. */
  changed?: (value: T) => void
  log: Pick<RegistryLog, 'info' | 'warn'>
}

export interface Watched<T> {
  /** What the files said when they last could be used. */
  value(): T
  close(): void
}

/**
 * Reads files, and again when they change. Throws what `load` throws the first time; later, files that can't be used are
 * told in the log and what they said before stays in force.
 */
export function watch<T>({ name, paths, load, changed, log }: WatchOptions<T>): Watched<T> {
  let value = load()
  const reload = () => {
    try {
      value = load()
      changed?.(value)
      log.info({}, `${name} has changed and is in force`)
    } catch (error) {
      log.warn({}, `${name} has changed and can't be used, so what it said before stays in force: ${messageOf(error)}`)
    }
  }
  for (const path of paths) watchFile(path, { interval: INTERVAL, persistent: false }, reload)
  return {
    value: () => value,
    close: () => {
      for (const path of paths) unwatchFile(path, reload)
    }
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
