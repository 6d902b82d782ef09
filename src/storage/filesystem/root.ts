import { randomBytes } from 'node:crypto'
import { type Stats, statSync } from 'node:fs'
import { rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { StorageError } from '../driver.ts'
import { ignoreMissing, isMissing } from './errors.ts'
import { type Abilities, probe } from './probe.ts'

/** Two folders of the root are the driver's own; their names begin no key. */
export const TEMPORARY = 'tmp'
export const UPLOADS = 'uploads'

/** A network server's clock is looked at again after this long. */
const CLOCK_TRUST_MS = 60_000

/** The folder that holds everything, as the other parts of the driver see it. */
export interface Root extends Abilities {
  readonly path: string
  /** The path of a key. Throws `failed` for a key inside a folder that is the driver's own. */
  pathOf(key: string): string
  /** A path in the temporary folder where nothing is; it never contains a key, which may be as long as a name can be. */
  temporary(): string
  /** undefined where nothing is. */
  stat(path: string): Promise<Stats | undefined>
  /** Milliseconds since a time of a file, by the clock that set it; never negative. */
  age(mtimeMs: number): number
  /** To be asked before something is called missing: throws `unavailable` when it is the root that is missing. */
  confirm(): Promise<void>
}

export interface RootOptions {
  path: string
  now: () => number
  /** Overrides what `statfs` says. */
  local?: boolean | undefined
}

/** Opens the folder, making it if need be; throws as `probe` does. */
export async function openRoot(options: RootOptions): Promise<Root> {
  const path = resolve(options.path)
  const temporary = () => join(path, TEMPORARY, randomBytes(12).toString('hex'))
  const abilities = await probe(path, temporary())
  const local = options.local ?? abilities.local
  const statAt = local ? statLocal : statAside
  const born = await stat(path)
  const clockOffset = local ? () => 0 : await serverClock(temporary)

  return {
    ...abilities,
    local,
    path,
    temporary,
    stat: statAt,
    pathOf: key => {
      if (isOwn(key)) throw new StorageError('failed', `not a key: ${key}`)
      return join(path, key)
    },
    age: mtimeMs => Math.max(0, options.now() + clockOffset() - mtimeMs),
    confirm: async () => {
      const seen = await statAt(path)
      // A disk that was unmounted leaves its empty mount point behind, which is another folder. A network server may
      // number its folders anew when it comes back, so there only presence counts.
      if (seen && (!local || (seen.ino === born.ino && seen.dev === born.dev))) return
      throw new StorageError('unavailable', `the folder ${path} is gone or was replaced`)
    }
  }
}

/** Whether a key, or a prefix, lies in a folder that is the driver's own. */
export function isOwn(key: string): boolean {
  return key.startsWith(`${TEMPORARY}/`) || key.startsWith(`${UPLOADS}/`) || key === TEMPORARY || key === UPLOADS
}

async function statLocal(path: string): Promise<Stats | undefined> {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    return ignoreMissing(error)
  }
}

/** As `Root.stat`, always in the thread pool: for many files, or a folder whose server may hang. */
export async function statAside(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * How far a file server's clock is ahead of ours, in milliseconds: read from a file touched now, again at most once a
 * minute and in the background. Between two looks the last answer holds, also when a look fails.
 */
async function serverClock(temporary: () => string): Promise<() => number> {
  const measure = async (): Promise<number> => {
    const path = temporary()
    try {
      await writeFile(path, '')
      return (await stat(path)).mtimeMs - Date.now()
    } finally {
      await rm(path, { force: true })
    }
  }
  let offset = await measure()
  let measuredAt = Date.now()
  return () => {
    if (Date.now() - measuredAt > CLOCK_TRUST_MS) {
      measuredAt = Date.now()
      measure().then(
        value => {
          offset = value
        },
        () => undefined
      )
    }
    return offset
  }
}
