import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { StorageError, type UploadState } from '../driver.ts'
import { codeOf, ignoreMissing, isMissing } from './errors.ts'
import { found, type Root, statFound, UPLOADS } from './root.ts'

/*
 * An upload is a folder `uploads/<id>` that holds one file, `<writer>.<claim>.r` while nobody writes to it and
 * `<writer>.<claim>.w` from the moment somebody may. `<claim>` is new each time somebody takes the upload over, so a
 * name stands for one holder's turn and never comes back: renaming it works for exactly one, and a holder that lost the
 * upload finds its own name gone. What another may still write to is never written to by a new holder, but copied.
 */

/** The upload as it was found. A file at rest keeps its size as long as it keeps its name. */
export interface Session extends UploadState {
  name: string
  path: string
  atRest: boolean
  mtimeMs: number
}

/** One holder's turn: its file, open, that ends in `.w`. */
export interface Claim {
  id: string
  path: string
  name: string
  handle: FileHandle
  /** Bytes in it when it was claimed. */
  size: number
  /** The folder's entry in `uploads`, or the file's in the folder, is new and not durable yet. */
  fresh: boolean
}

export interface Sessions {
  /** Where all uploads are. */
  readonly path: string
  folderOf(id: string): string
  /** The upload as it is now; undefined where there is none, or one without its file. */
  find(id: string): Promise<Session | undefined>
  /** Takes the upload over from whoever had it, or begins it; throws `conflict` unless it is as `from` says. */
  claim(id: string, from: UploadState | undefined, writer: string): Promise<Claim>
  /** Ends a turn so that anybody may go on from it: throws `conflict` when somebody else took over before. */
  rest(claim: Pick<Claim, 'id' | 'path'>): Promise<void>
  /** Ends a turn leaving the file as it is, for this process to go on; throws `conflict` as `rest` does. */
  keep(claim: Claim): Promise<void>
  /** Whether the file was left by `keep`. True for the first who asks only: who hears it has the turn. */
  resume(session: Session): boolean
}

/** An upload without its file is in the middle of a takeover: so long until the next look, in milliseconds. */
const PAUSES = [0, 0, 1, 5, 25, 100, 400]
/** For writing: only what is a file, not a link to one. */
const GO_ON = constants.O_RDWR | constants.O_NOFOLLOW
const FILE_NAME = /^([\w-]+)\.[\w-]+\.([rw])$/

/** The uploads of a root, and what this process knows of them. */
export function createSessions(root: Root): Sessions {
  const path = join(root.path, UPLOADS)
  const folderOf = (id: string): string => join(path, id)
  /** File names by upload that `keep` left; one that is forgotten costs a copy. */
  const kept = new LRUCache<string, string>({ max: 1000 })

  const resume = ({ name, path }: Session): boolean => kept.get(path) === name && kept.delete(path)

  return {
    path,
    folderOf,
    resume,
    find: id => find(root, folderOf(id)),
    claim: async (id, from, writer) => {
      const folder = folderOf(id)
      const name = `${writer}.${randomBytes(9).toString('base64url')}.w`
      const session = await find(root, folder)
      if (!isAs(session, from)) throw conflict(id)
      if (!session) return { id, name, ...(await begin(root, folder, name)) }
      const takes =
        session.atRest || resume(session) ? takeAtRest(root, session, folder, name) : copy(root, session, folder, name)
      return { id, name, ...(await takes) }
    },
    rest: async claim => {
      await renameOrConflict(root, claim.path, claim.path.replace(/w$/, 'r'), claim.id)
    },
    keep: async claim => {
      if (!(await statFound(root, claim.path))) throw conflict(claim.id)
      kept.set(claim.path, claim.name)
    }
  }
}

/** For an upload that is not as somebody saw it. */
export function conflict(id: string, cause?: unknown): StorageError {
  return new StorageError('conflict', `upload ${id} is in another state`, { cause })
}

/** Whether the upload is as somebody saw it; undefined stands for no upload. */
export function isAs(session: UploadState | undefined, from: UploadState | undefined): boolean {
  return session?.size === from?.size && session?.writer === from?.writer
}

async function find(root: Root, folder: string): Promise<Session | undefined> {
  let renamed = false
  for (const pauseMs of PAUSES) {
    if (!renamed && pauseMs > 0) await pause(pauseMs)
    // Most uploads are looked for once, before they begin.
    const names = await found(root, folder, async () => (await root.stat(folder)) && (await namesIn(root, folder)))
    if (!names) return undefined
    const [name, writer, state] = names.map(entry => FILE_NAME.exec(entry)).find(match => match) ?? []
    if (name && writer) {
      const path = join(folder, name)
      const stat = await root.stat(path)
      if (stat?.isFile()) return { name, path, writer, atRest: state === 'r', size: stat.size, mtimeMs: stat.mtimeMs }
    }
    renamed = name !== undefined
  }
  if (renamed) throw new StorageError('unavailable', `${folder} changes too fast`)
  return undefined
}

async function namesIn(root: Root, folder: string): Promise<string[] | undefined> {
  await root.confine(folder)
  return readdir(folder).catch(ignoreMissing)
}

/** The folder comes with its file in it: renaming it works where nothing is, or an empty folder, and for one only. */
async function begin(root: Root, folder: string, name: string): Promise<Omit<Claim, 'id' | 'name'>> {
  const temporary = await root.temporary()
  await mkdir(temporary)
  let handle: FileHandle | undefined
  try {
    handle = await open(join(temporary, name), 'wx')
    await renameFolder(temporary, folder)
  } catch (error) {
    await handle?.close()
    await discard(temporary, name)
    throw error
  }
  return { path: join(folder, name), handle, size: 0, fresh: true }
}

async function takeAtRest(
  root: Root,
  session: Session,
  folder: string,
  name: string
): Promise<Omit<Claim, 'id' | 'name'>> {
  const path = join(folder, name)
  const handle = await open(session.path, GO_ON).catch(async error => {
    throw await lost(root, session.path, folder, error)
  })
  try {
    await renameOrConflict(root, session.path, path, folder)
  } catch (error) {
    await handle.close()
    throw error
  }
  return { path, handle, size: session.size, fresh: false }
}

/** The old file leaves the folder for good: what its writer still writes lands where nobody reads. */
async function copy(root: Root, session: Session, folder: string, name: string): Promise<Omit<Claim, 'id' | 'name'>> {
  const [temporary, old] = [await root.temporary(), await root.temporary()]
  const copied = join(temporary, name)
  await mkdir(temporary)
  let handle: FileHandle | undefined
  try {
    await copyFile(session.path, copied, constants.COPYFILE_FICLONE).catch(async error => {
      throw await lost(root, session.path, folder, error)
    })
    if ((await stat(copied)).size !== session.size) throw conflict(folder)
    handle = await open(copied, GO_ON)
    await renameOrConflict(root, session.path, old, folder)
    await renameFolder(temporary, folder)
  } catch (error) {
    await handle?.close()
    await discard(temporary, name)
    throw error
  } finally {
    await rm(old, { force: true })
  }
  return { path: join(folder, name), handle, size: session.size, fresh: true }
}

/** Takes a folder away that no upload has become. To ask what is in it would take a file that may not be had any more. */
async function discard(temporary: string, name: string): Promise<void> {
  await unlink(join(temporary, name)).catch(ignoreMissing)
  await rmdir(temporary).catch(ignoreMissing)
}

async function renameFolder(temporary: string, folder: string): Promise<void> {
  try {
    await rename(temporary, folder)
  } catch (error) {
    throw codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST' ? conflict(folder, error) : error
  }
}

async function renameOrConflict(root: Root, from: string, to: string, upload: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    throw await lost(root, from, upload, error)
  }
}

/** What to throw when a file was missing: somebody else took the upload over, if it was not the root that was away. */
async function lost(root: Root, path: string, upload: string, error: unknown): Promise<unknown> {
  if (!isMissing(error)) return error
  const back = await statFound(root, path)
  return back ? new StorageError('unavailable', `${path} was away`, { cause: error }) : conflict(upload, error)
}
