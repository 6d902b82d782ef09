import {
  type AppendOptions,
  type ListEntry,
  type ListOptions,
  type ObjectStore,
  type StorageDriver,
  StorageError,
  type UploadState,
  type UploadStore
} from './driver.ts'

export interface MemoryOptions {
  /** The clock that ages are told by, in milliseconds since 1970. Default `Date.now`. */
  now?: () => number
  /** Asked before each call, with the method and its key, prefix or upload id: the error it returns is thrown. */
  faults?: (method: keyof StorageDriver, key: string) => Error | undefined
  /** What the store holds and keeps its changes in: for a test that looks at it, or begins with what another store had. */
  state?: MemoryState
}

export interface MemoryState {
  objects: Map<string, StoredBytes>
  uploads: Map<string, Turn>
}

/** Never changed: what is put is another one. */
interface StoredBytes {
  bytes: Buffer
  at: number
}

/** One holder's turn: whoever takes the upload over puts another object in its place and leaves this one to its writer. */
interface Turn {
  writer: string
  pieces: Buffer[]
  size: number
  at: number
}

/** A store that lives in memory: for tests, and for embedding in tests. It copies nothing to disk and forgets all. */
export function createMemory({ now = Date.now, faults, state }: MemoryOptions = {}): StorageDriver {
  const { objects, uploads } = state ?? emptyMemory()
  const driver: StorageDriver = {
    name: 'memory',
    ...objectsIn(objects, now),
    ...uploadsIn(uploads, objects, now),
    close: async () => undefined
  }
  return faults ? withFaults(driver, faults) : driver
}

export const emptyMemory = (): MemoryState => ({ objects: new Map(), uploads: new Map() })

function objectsIn(objects: Map<string, StoredBytes>, now: () => number): ObjectStore {
  const age = ({ at }: StoredBytes): number => Math.max(0, now() - at)
  return {
    stat: async key => {
      const found = objects.get(key)
      return found && { size: found.bytes.length, ageMs: age(found) }
    },
    get: async key => {
      const found = objects.get(key)
      return found && { bytes: Buffer.from(found.bytes), ageMs: age(found) }
    },
    read: async (key, range) => {
      const found = objects.get(key)
      if (!found) return undefined
      const size = found.bytes.length
      const { start, end } = range ?? { start: 0, end: size - 1 }
      if (range && (start < 0 || start >= size || end < start)) {
        throw new StorageError('range', `bytes ${start}-${end} of ${size}`, { size })
      }
      return { size, chunks: chunksOf(found.bytes.subarray(start, end + 1)) }
    },
    put: async (key, bytes, { ifAbsent = false } = {}) => {
      if (ifAbsent && objects.has(key)) return false
      objects.set(key, { bytes: Buffer.from(bytes), at: now() })
      return true
    },
    delete: async keys => {
      for (const key of keys) objects.delete(key)
    },
    list: async (prefix, options = {}) => {
      const entries = select(Array.from(objects.keys()).sort(), prefix, options)
      if (!options.ages) return entries
      return entries.map(({ key }) => {
        const found = objects.get(key)
        return found ? { key, ageMs: age(found) } : { key }
      })
    },
    url: async () => undefined
  }
}

async function* chunksOf(bytes: Buffer): AsyncGenerator<Uint8Array> {
  const step = 64 * 1024
  for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step)
}

/** The entries of a listing, out of all keys in byte order. */
function select(keys: string[], prefix: string, { after = '', limit, folders = false }: ListOptions): ListEntry[] {
  const entries = new Set<string>()
  for (const key of keys) {
    if (entries.size >= (limit ?? Number.POSITIVE_INFINITY)) break
    if (!key.startsWith(prefix)) continue
    const slash = folders ? key.indexOf('/', prefix.length) : -1
    const entry = slash < 0 ? key : key.slice(0, slash + 1)
    if (entry > after && !(after.endsWith('/') && entry.startsWith(after))) entries.add(entry)
  }
  return Array.from(entries, key => ({ key }))
}

function uploadsIn(turns: Map<string, Turn>, objects: Map<string, StoredBytes>, now: () => number): UploadStore {
  const append = async (
    id: string,
    source: AsyncIterable<Uint8Array>,
    { from, writer, watch }: AppendOptions
  ): Promise<number> => {
    const before = turns.get(id)
    if (!isAs(before, from)) throw conflict(id)
    const turn: Turn = { writer, pieces: [...(before?.pieces ?? [])], size: before?.size ?? 0, at: now() }
    turns.set(id, turn)
    for await (const piece of source) {
      turn.pieces.push(Buffer.from(piece))
      await watch?.(piece)
      turn.size += piece.length
      turn.at = now()
    }
    if (turns.get(id) !== turn) throw conflict(id)
    return turn.size
  }

  return {
    append,
    upload: async id => {
      const turn = turns.get(id)
      return turn && { size: turn.size, writer: turn.writer }
    },
    commit: async (id, key, from) => {
      const turn = turns.get(id)
      const existing = objects.get(key)
      if (!turn) return existing && { size: existing.bytes.length, existed: true }
      if (!isAs(turn, from)) throw conflict(id)
      turns.delete(id)
      if (existing) return { size: existing.bytes.length, existed: true }
      objects.set(key, { bytes: Buffer.concat(turn.pieces), at: now() })
      return { size: turn.size, existed: false }
    },
    abort: async id => {
      turns.delete(id)
    },
    listUploads: async function* () {
      for (const [id, { at }] of turns) yield { id, ageMs: Math.max(0, now() - at) }
    }
  }
}

function isAs(turn: UploadState | undefined, from: UploadState | undefined): boolean {
  return turn?.size === from?.size && turn?.writer === from?.writer
}

function conflict(id: string): StorageError {
  return new StorageError('conflict', `upload ${id} is in another state`)
}

function withFaults(driver: StorageDriver, faults: NonNullable<MemoryOptions['faults']>): StorageDriver {
  const check = (method: keyof StorageDriver, key: string): void => {
    const fault = faults(method, key)
    if (fault) throw fault
  }
  const faulty =
    <A extends [string, ...unknown[]], R>(method: keyof StorageDriver, work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      check(method, args[0])
      return work(...args)
    }
  return {
    ...driver,
    stat: faulty('stat', driver.stat),
    get: faulty('get', driver.get),
    read: faulty('read', driver.read),
    put: faulty('put', driver.put),
    delete: async keys => {
      // One by one, so that a fault in the middle leaves what a crash there would.
      for (const key of keys) {
        check('delete', key)
        await driver.delete([key])
      }
    },
    list: faulty('list', driver.list),
    url: faulty('url', driver.url),
    upload: faulty('upload', driver.upload),
    append: faulty('append', driver.append),
    commit: faulty('commit', driver.commit),
    abort: faulty('abort', driver.abort),
    listUploads: async function* () {
      check('listUploads', '')
      yield* driver.listUploads()
    }
  }
}
