import { StorageError, type StorageFault } from '../driver.ts'

const FAULTS: Readonly<Record<string, StorageFault>> = {
  ENOSPC: 'full',
  EDQUOT: 'full',
  ESTALE: 'unavailable',
  ETIMEDOUT: 'unavailable',
  EMFILE: 'unavailable',
  ENFILE: 'unavailable',
  EAGAIN: 'unavailable',
  EROFS: 'unavailable',
  // A missing object is told apart where it is looked up: what is missing elsewhere is a folder of the store itself.
  ENOENT: 'unavailable'
}

/** What an operator can do about it, where the fault as such does not tell. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'free space, or inodes (df -h, df -i)',
  EMFILE: 'this process may open no more files: raise its limit (ulimit -n, LimitNOFILE of systemd)',
  ENFILE: 'this machine may open no more files: raise its limit (sysctl fs.file-max)',
  EROFS: 'the file system is mounted read-only: see why (dmesg), and mount it for writing',
  EIO: 'the disk reports errors: see the log of the kernel (dmesg)'
}

/** Characters of a key, or of a list of keys, that a message names. */
const NAMED = 300

/** The system's code of an error (`ENOENT`), undefined for any other error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Whether there was no room: blocks, inodes or a quota. */
export const isFull = (error: unknown): boolean => FAULTS[codeOf(error) ?? ''] === 'full'

/** Whether nothing is at that path: also where a part of the path is a file. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** For `catch`: passes over a path where nothing is, and throws the rest on. */
export function ignoreMissing(error: unknown): undefined {
  if (isMissing(error)) return undefined
  throw error
}

/**
 * A driver's method whose system errors come out as `StorageError`.
 *
 * @param doing what the message says before the method's first argument (a key, or a list of them)
 */
export function translated<A extends [unknown, ...unknown[]], R>(
  doing: string,
  method: (...args: A) => Promise<R>
): (...args: A) => Promise<R> {
  return async (...args) => {
    try {
      return await method(...args)
    } catch (error) {
      throw storageError(error, `${doing} ${String(args[0]).slice(0, NAMED)}`)
    }
  }
}

/** The `StorageError` for a system's error; a `StorageError` stays itself. For logs: the message may name a key. */
export function storageError(error: unknown, doing: string): StorageError {
  if (error instanceof StorageError) return error
  const code = codeOf(error) ?? ''
  const said = error instanceof Error ? error.message : String(error)
  const message = code === 'ELOOP' ? `a store never follows a symbolic link (${said})` : said
  return new StorageError(FAULTS[code] ?? 'failed', `${doing}: ${message}`, { cause: error, advice: ADVICE[code] })
}
