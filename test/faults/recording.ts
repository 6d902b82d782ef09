import fs, { type MakeDirectoryOptions, type NoParamCallback, type RmOptions } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { setImmediate as othersRun } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Chance } from './chance.ts'
import type { DiskStep } from './disk.ts'

export interface RecordingOptions {
  /** The folder whose changes are recorded. */
  folder: string
  chance: Chance
  /** Is told each step right when it is done. */
  record(step: DiskStep): void
}

/** What the recording functions share. */
interface Recorder {
  record(step: DiskStep): void
  inside(path: string): boolean
  /** As steps name it. */
  at(path: string): string
  opened(path: string, created: boolean): number
  /** Resolves after a few turns of others. */
  later(): Promise<void>
  sync(file: number, work: () => void): Promise<void>
}

/** Flags with which an open may itself change something. */
const CHANGING = fs.constants.O_CREAT | fs.constants.O_TRUNC | fs.constants.O_APPEND

const real = { ...fs, promises: { ...fs.promises } }

let current: RecordingOptions | undefined

/**
 * Takes the place of the functions of `node:fs` that change something, for `recordChanges`. To be called before anything
 * is imported that is going to be recorded.
 */
export function prepareRecording(): void {
  const recorder = createRecorder()
  Object.assign(fs.promises, recordedNames(recorder), recordedFiles(recorder))
  Object.assign(fs, recordedDescriptors(recorder))
  syncBuiltinESMExports()
}

/**
 * Records every change that this process makes in a folder, until the function that it returns is called. Each call takes
 * effect in one step, in the order of the recording, and resolves a while later, so that calls of other requests come in
 * between. That nothing was missed is for the caller to see: the recorded steps must lead to what is in the folder.
 */
export function recordChanges(options: RecordingOptions): () => void {
  current = options
  return () => {
    current = undefined
  }
}

/** Makes all that is in a folder older than it is, in ms; what a server removes from it meanwhile is left out. */
export function ageFiles(folder: string, ms: number): void {
  for (const entry of real.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    try {
      const then = (real.statSync(path).mtimeMs - ms) / 1000
      real.utimesSync(path, then, then)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function createRecorder(): Recorder {
  let files = 0
  let syncs = 0
  const later = async (): Promise<void> => {
    for (let turns = current?.chance.between(0, 3) ?? 0; turns > 0; turns--) await othersRun()
  }
  const at = (path: string): string => relative(current?.folder ?? '', path)
  const record = (step: DiskStep): void => current?.record(step)
  return {
    record,
    inside: path => current !== undefined && `${path}/`.startsWith(`${current.folder}/`),
    at,
    later,
    opened: (path, created) => {
      files += 1
      record({ kind: 'open', file: files, path: at(path), created, time: Date.now() })
      return files
    },
    sync: async (file, work) => {
      syncs += 1
      const sync = syncs
      record({ kind: 'sync begins', sync, file })
      await later()
      work()
      record({ kind: 'sync ends', sync })
      await later()
    }
  }
}

function recordedNames({ inside, at, later, record }: Recorder) {
  const oneStep = async (path: string, work: () => void, step: () => DiskStep): Promise<void> => {
    work()
    if (inside(path)) record(step())
    await later()
  }
  const mkdir = async (path: string, { recursive = false }: MakeDirectoryOptions = {}): Promise<string | undefined> => {
    if (recursive && real.existsSync(path)) return undefined
    const above = recursive ? await mkdir(dirname(path), { recursive }) : undefined
    await oneStep(
      path,
      () => real.mkdirSync(path),
      () => ({ kind: 'folder', path: at(path) })
    )
    return above ?? path
  }
  const removal = (work: (path: string) => void) => (path: string) =>
    oneStep(
      path,
      () => work(path),
      () => ({ kind: 'remove', path: at(path) })
    )
  const [unlink, rmdir] = [removal(real.unlinkSync), removal(real.rmdirSync)]
  const rm = async (path: string, { recursive = false, force = false }: RmOptions = {}): Promise<void> => {
    const stat = real.lstatSync(path, { throwIfNoEntry: false })
    if (!stat && force) return
    if (!stat?.isDirectory()) return unlink(path)
    if (recursive) for (const name of real.readdirSync(path)) await rm(join(path, name), { recursive, force })
    await rmdir(path)
  }
  return {
    mkdir,
    unlink,
    rmdir,
    rm,
    link: (from: string, to: string) =>
      oneStep(
        to,
        () => real.linkSync(from, to),
        () => ({ kind: 'link', from: at(from), to: at(to) })
      ),
    rename: (from: string, to: string) =>
      oneStep(
        to,
        () => real.renameSync(from, to),
        () => ({ kind: 'rename', from: at(from), to: at(to) })
      )
  }
}

function recordedFiles(recorder: Recorder) {
  const { inside, opened, record, later } = recorder
  const open = async (path: string, flags: string | number = 'r'): Promise<FileHandle> => {
    if (!inside(path)) return real.promises.open(path, flags)
    const creates = flags === 'wx'
    const opensOnly = typeof flags === 'number' ? (flags & CHANGING) === 0 : flags === 'r'
    if (!creates && !opensOnly) throw new Error(`it is not known how to record open with ${flags}`)
    if (creates) real.closeSync(real.openSync(path, flags))
    const handle = await real.promises.open(path, creates ? 'r+' : flags)
    const file = opened(path, creates)
    await later()
    return recordedHandle(handle, file, recorder)
  }
  const writeFile = async (path: string, bytes: string | Uint8Array, { flush = false } = {}): Promise<void> => {
    if (!inside(path)) return real.promises.writeFile(path, bytes, { flush })
    const handle = await open(path, 'wx')
    await handle.writeFile(bytes)
    if (flush) await handle.sync()
    await handle.close()
  }
  const copyFile = async (from: string, to: string, mode?: number): Promise<void> => {
    if (!inside(to)) return real.promises.copyFile(from, to, mode)
    real.copyFileSync(from, to)
    const bytes = real.readFileSync(to)
    record({ kind: 'write', file: opened(to, true), at: 0, bytes, time: Date.now() })
    await later()
  }
  return { open, writeFile, copyFile }
}

function recordedHandle(handle: FileHandle, file: number, { record, later, sync }: Recorder): FileHandle {
  const { fd } = handle
  const write = async (bytes: Buffer, at: number): Promise<void> => {
    real.writeSync(fd, bytes, 0, bytes.length, at)
    record({ kind: 'write', file, at, bytes, time: Date.now() })
    await later()
  }
  const unknown = async (): Promise<never> => {
    throw new Error('it is not known how to record this')
  }
  return Object.assign(handle, {
    write: unknown,
    appendFile: unknown,
    writeFile: (bytes: string | Uint8Array) => write(Buffer.from(bytes), 0),
    writev: async (pieces: Uint8Array[], at: number) => {
      const bytes = Buffer.concat(pieces)
      await write(bytes, at)
      return { bytesWritten: bytes.length, buffers: pieces }
    },
    truncate: async (size: number) => {
      real.ftruncateSync(fd, size)
      record({ kind: 'truncate', file, size, time: Date.now() })
      await later()
    },
    sync: () => sync(file, () => real.fsyncSync(fd)),
    datasync: () => sync(file, () => real.fdatasyncSync(fd))
  })
}

/** New files and their bytes, and fsync of folders, by descriptor. */
function recordedDescriptors({ inside, opened, record, later, sync }: Recorder) {
  const files = new Map<number, number>()
  const synced = (real: SyncOf, now: (descriptor: number) => void): SyncOf => {
    return (descriptor, done) => {
      const file = files.get(descriptor)
      if (file === undefined) real(descriptor, done)
      else sync(file, () => now(descriptor)).then(() => done(null), done)
    }
  }
  const write = async (descriptor: number, bytes: Uint8Array, from: number, length: number, at: number) => {
    const file = files.get(descriptor)
    if (file === undefined) return promisify(real.write)(descriptor, bytes, from, length, at)
    const bytesWritten = real.writeSync(descriptor, bytes, from, length, at)
    const written = Buffer.from(bytes.subarray(from, from + bytesWritten))
    record({ kind: 'write', file, at, bytes: written, time: Date.now() })
    await later()
    return { bytesWritten, buffer: bytes }
  }
  return {
    open: (path: string, flags: string | number, done: (error: unknown, descriptor?: number) => void): void => {
      if (inside(path) && flags !== 'wx') throw new Error(`it is not known how to record open with ${flags}`)
      try {
        const descriptor = real.openSync(path, flags)
        if (inside(path)) files.set(descriptor, opened(path, true))
        later().then(() => done(null, descriptor), done)
      } catch (error) {
        done(error)
      }
    },
    openSync: (path: string, flags: string | number): number => {
      const descriptor = real.openSync(path, flags)
      if (inside(path) && real.fstatSync(descriptor).isDirectory()) files.set(descriptor, opened(path, false))
      return descriptor
    },
    close: (descriptor: number, done: NoParamCallback): void => {
      files.delete(descriptor)
      real.close(descriptor, done)
    },
    closeSync: (descriptor: number): void => {
      files.delete(descriptor)
      real.closeSync(descriptor)
    },
    // As it stands it writes the log.
    write: Object.assign(real.write.bind(undefined), { [promisify.custom]: write }),
    fsync: synced(real.fsync, real.fsyncSync),
    fdatasync: synced(real.fdatasync, real.fdatasyncSync)
  }
}

type SyncOf = (descriptor: number, done: NoParamCallback) => void
