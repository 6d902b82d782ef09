import { randomBytes } from 'node:crypto'
import { lstatSync, type Stats, statSync } from 'node:fs'
import { lstat, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { StorageError } from '../driver.ts'
import { type Confine, checkKind, createConfine, strange } from './confinement.ts'
import { ignoreMissing, isFull } from './errors.ts'
import { privatePaths } from './private.ts'
import { type Abilities, attempt, probe, probeReading, withoutRoom } from './probe.ts'

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
  temporary(): Promise<string>
  /** undefined where nothing is. Throws `failed` for what is neither a file nor a folder. */
  stat(path: string): Promise<Stats | undefined>
  confine: Confine
  /** Whether nobody but the owner may read what is at a path. */
  isPrivate(path: string): boolean
  /** Milliseconds since a time of a file, by the clock that set it; never negative. */
  age(mtimeMs: number): number
  /**
   * To be asked before what is at the path is called missing: throws `unavailable` when it is the root that is missing,
   * and as `confine` does.
   */
  confirm(path: string): Promise<void>
}

export interface RootOptions {
  path: string
  now: () => number
  /** Overrides what `statfs` says. */
  local?: boolean | undefined
  privatePrefixes?: readonly string[]
  /** The folder is only read: nothing is written at the start. */
  readOnly?: boolean | undefined
}

/** Opens the folder, making it if need be; throws as `probe` does. */
export async function openRoot(options: RootOptions): Promise<Root> {
  const path = resolve(options.path)
  const temporaries = join(path, TEMPORARY)
  const names = `${temporaries}/${randomBytes(12).toString('hex')}`
  let named = 0
  const newName = () => `${names}-${(named++).toString(36)}`
  await checkTop(path)
  const abilities = options.readOnly
    ? await probeReading(path)
    : await probe(path, newName()).catch(error => withoutRoom(path, UPLOADS, error))
  const local = options.local ?? abilities.local
  const statAt = local ? statLocal : statAside
  const presence = local ? async () => statSync(path, { throwIfNoEntry: false }) : () => stat(path)
  const born = await stat(path)
  const confine = createConfine({ path, local })
  const clockOffset = local || options.readOnly ? () => 0 : await serverClock(newName)

  return {
    ...abilities,
    local,
    path,
    temporary: async () => {
      await confine(temporaries)
      return newName()
    },
    stat: statAt,
    confine,
    isPrivate: privatePaths(path, options.privatePrefixes ?? []),
    pathOf: key => {
      if (isOwn(key)) throw new StorageError('failed', `not a key: ${key}`)
      return `${path}/${key}`
    },
    age: mtimeMs => Math.max(0, options.now() + clockOffset() - mtimeMs),
    confirm: async missing => {
      const seen = await presence().catch(ignoreMissing)
      // A disk that was unmounted leaves its empty mount point behind, which is another folder. A network server may
      // number its folders anew when it comes back, so there only presence counts.
      if (seen && (!local || (seen.ino === born.ino && seen.dev === born.dev))) return confine(dirname(missing))
      throw new StorageError('unavailable', `the folder ${path} is gone or was replaced`)
    }
  }
}

/** An operator who moved a part elsewhere and left a link hears of it at the start, before anything is written there. */
async function checkTop(path: string): Promise<void> {
  const reading = () => readdir(path, { withFileTypes: true }).catch(ignoreMissing)
  const entries = await attempt(`The folder ${path} cannot be read`, path, reading)
  const link = entries?.find(entry => entry.isSymbolicLink() && !entry.name.startsWith('.'))
  if (link) throw strange(join(path, link.name), link)
}

/**
 * What `look` finds at a path. It looks again before something is called missing: the root may have been away at the
 * first look, and be back. Throws `unavailable` while it is away.
 */
export async function found<T>(root: Root, path: string, look: () => Promise<T | undefined>): Promise<T | undefined> {
  const seen = await look()
  if (seen !== undefined) return seen
  await root.confirm(path)
  return look()
}

/** As `Root.stat`; nothing counts as missing because the root was away. Throws `unavailable` while it is. */
export const statFound = (root: Root, path: string): Promise<Stats | undefined> =>
  found(root, path, () => root.stat(path))

/** Whether a key, or a prefix, lies in a folder that is the driver's own. */
export function isOwn(key: string): boolean {
  return key.startsWith(`${TEMPORARY}/`) || key.startsWith(`${UPLOADS}/`) || key === TEMPORARY || key === UPLOADS
}

async function statLocal(path: string): Promise<Stats | undefined> {
  return statNow(path)
}

/** As `Root.stat`, at once: for a local folder only. */
export function statNow(path: string): Stats | undefined {
  let found: Stats | undefined
  try {
    found = lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    return ignoreMissing(error)
  }
  checkKind(path, found)
  return found
}

/** As `Root.stat`, always in the thread pool: for many files, or a folder whose server may hang. */
export async function statAside(path: string): Promise<Stats | undefined> {
  const found = await lstat(path).catch(ignoreMissing)
  checkKind(path, found)
  return found
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
  let offset = await measure().catch(error => {
    if (!isFull(error)) throw error
    return 0 // without room for a file the two clocks are taken to agree, as they mostly do
  })
  let measuredAt = performance.now()
  return () => {
    if (performance.now() - measuredAt > CLOCK_TRUST_MS) {
      measuredAt = performance.now()
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
