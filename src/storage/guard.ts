import { type StorageDriver, StorageError } from './driver.ts'

/** What the guard asks of a logger; pino's fits. */
export interface GuardLog {
  /** The least severe messages that it takes. */
  readonly level: string
  debug(fields: object, message: string): void
}

/** The calls of a driver that are told of. */
export type StorageOperation = Exclude<keyof StorageDriver, 'name' | 'ignoresCase'>

/** Told of each call when it begins; what it returns is told of its end, with what was thrown. */
export type StorageObserver = (operation: StorageOperation) => (error?: unknown) => void

/** One observer that tells all of those that there are; undefined: there is none. */
export function observeAll(...observers: (StorageObserver | undefined)[]): StorageObserver | undefined {
  const told = observers.filter(observer => observer !== undefined)
  if (told.length < 2) return told[0]
  return operation => {
    const ended = told.map(observer => observer(operation))
    return error => {
      for (const end of ended) end(error)
    }
  }
}

const LONGEST_KEY = 1024

/**
 * Parts of printable ASCII without backslash and space, none empty, none beginning with a dot: so no key climbs out of a
 * folder, and none is taken for a hidden file.
 */
const KEY = /^(?:(?!\.)[!-.0-[\]-~]{1,255})(?:\/(?!\.)[!-.0-[\]-~]{1,255})*$/
/** An upload's id or a writer's token: they become parts of names. */
const TOKEN = /^[\w-]{1,128}$/

/** Whether every driver takes it as a key. */
export function isKey(key: string): boolean {
  return key.length <= LONGEST_KEY && KEY.test(key)
}

/** Whether every driver takes it as a prefix: empty, a key or the beginning of one. */
export function isPrefix(prefix: string): boolean {
  return prefix === '' || isKey(prefix.endsWith('/') ? prefix.slice(0, -1) : prefix)
}

/**
 * A driver behind the checks that all share: bad keys, upload ids and writer tokens are refused with
 * `StorageError('failed')` before the driver sees them, errors tell the driver's name, and calls are told to the observer
 * and timed in the log at debug level. Every method is named here, so that none is lost; what else a driver has is kept.
 */
export function guard<D extends StorageDriver>(driver: D, log?: GuardLog, observer?: StorageObserver): D {
  const watched = async <T>(method: StorageOperation, key: string, work: () => Promise<T>): Promise<T> => {
    // Most registries log none of it, and what is not told need not be timed.
    const startedAt = tells(log) ? performance.now() : undefined
    const ended = observer?.(method)
    let failure: unknown
    try {
      return await work()
    } catch (error) {
      failure = error
      throw named(driver.name, error)
    } finally {
      ended?.(failure)
      if (startedAt !== undefined) {
        log?.debug({ driver: driver.name, method, key, ms: performance.now() - startedAt }, 'storage')
      }
    }
  }
  const guarded: Omit<StorageDriver, 'name'> = {
    stat: key => watched('stat', key, () => driver.stat(checked(key))),
    get: key => watched('get', key, () => driver.get(checked(key))),
    read: (key, range) => watched('read', key, () => driver.read(checked(key), range)),
    put: (key, bytes, options) => watched('put', key, () => driver.put(checked(key), bytes, options)),
    delete: (keys, options) => watched('delete', keys[0] ?? '', () => driver.delete(keys.map(checked), options)),
    list: (prefix, options) => watched('list', prefix, () => driver.list(checkedPrefix(prefix), options)),
    url: (key, options) => watched('url', key, () => driver.url(checked(key), options)),
    upload: id => watched('upload', id, () => driver.upload(token(id))),
    append: (id, source, options) =>
      watched('append', id, () => {
        token(options.writer)
        checked(options.key)
        return driver.append(token(id), source, options)
      }),
    commit: (id, key, from) => watched('commit', id, () => driver.commit(token(id), checked(key), from)),
    abort: id => watched('abort', id, () => driver.abort(token(id))),
    listUploads: async function* () {
      const ended = observer?.('listUploads')
      let failure: unknown
      try {
        yield* driver.listUploads()
      } catch (error) {
        failure = error
        throw named(driver.name, error)
      } finally {
        ended?.(failure)
      }
    },
    close: () => watched('close', '', () => driver.close())
  }
  return { ...driver, ...guarded }
}

const tells = (log: GuardLog | undefined): boolean => log?.level === 'debug' || log?.level === 'trace'

function checked(key: string): string {
  if (isKey(key)) return key
  throw new StorageError('failed', `not a key: ${JSON.stringify(key)}`)
}

function checkedPrefix(prefix: string): string {
  if (isPrefix(prefix)) return prefix
  throw new StorageError('failed', `not a prefix: ${JSON.stringify(prefix)}`)
}

function token(text: string): string {
  if (TOKEN.test(text)) return text
  throw new StorageError('failed', `not an upload id or a writer token: ${JSON.stringify(text)}`)
}

function named(driver: string, error: unknown): unknown {
  if (!(error instanceof StorageError)) return error
  const { fault, message, size, advice } = error
  return new StorageError(fault, `${driver}: ${message}`, { cause: error, size, advice })
}
