import { link, opendir, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Buffers } from '../buffers.ts'
import type { AppendOptions, Committed, UploadState, UploadStore } from '../driver.ts'
import { codeOf, ignoreMissing, isFull, isMissing } from './errors.ts'
import type { Folders } from './folders.ts'
import { type Root, statFound } from './root.ts'
import { type Claim, conflict, createSessions, isAs, type Session, type Sessions } from './sessions.ts'
import { type Written, writeSource } from './writing.ts'

/** What the steps of an upload share. */
interface Store {
  root: Root
  folders: Folders
  buffers: Buffers
  sessions: Sessions
}

/** How an append ended: a source's own error is handed on unchanged, so it is not thrown where others are translated. */
export interface Appended {
  size: number
  sourceFailed?: { error: unknown }
}

export type FileUploads = Omit<UploadStore, 'append'> & {
  append(id: string, source: AsyncIterable<Uint8Array>, options: AppendOptions): Promise<Appended>
}

/** Uploads are files that grow in folders of their own (see `sessions.ts`) and become objects by a link. */
export function createUploads(root: Root, folders: Folders, buffers: Buffers): FileUploads {
  const store: Store = { root, folders, buffers, sessions: createSessions(root) }
  return {
    upload: async id => {
      const session = await store.sessions.find(id)
      return session && { size: session.size, writer: session.writer }
    },
    append: (id, source, options) => append(store, id, source, options),
    commit: (id, key, from) => commit(store, id, root.pathOf(key), from),
    abort: id => abort(store, id),
    listUploads: () => listUploads(store)
  }
}

async function append(
  store: Store,
  id: string,
  source: AsyncIterable<Uint8Array>,
  { from, writer, closing = false, watch }: AppendOptions
): Promise<Appended> {
  const claim = await store.sessions.claim(id, from, writer)
  const share = store.buffers.open()
  let written: Written
  try {
    written = await writeSource(claim.handle, claim.size, source, share, watch)
    await claim.handle.datasync().catch(error => {
      if (!isFull(error)) throw error
      written.writeFailed ??= { error }
    })
    // Nobody was told of these bytes, and what others need most is the room that they take.
    if (isFull(written.writeFailed?.error)) await claim.handle.truncate(claim.size).catch(() => undefined)
  } finally {
    share.end()
    await claim.handle.close()
  }
  const { writeFailed, ...appended } = written
  if (writeFailed || appended.sourceFailed) {
    const holdsNothing = isFull(writeFailed?.error) && from === undefined
    // What led here counts for more than that the upload was lost meanwhile.
    await (holdsNothing ? end(claim.path) : endTurn(store, claim, false)).catch(() => undefined)
    if (writeFailed) throw writeFailed.error
  } else {
    await endTurn(store, claim, closing)
  }
  return appended
}

async function endTurn({ sessions, folders }: Store, claim: Claim, closing: boolean): Promise<void> {
  if (closing) return sessions.keep(claim)
  await sessions.rest(claim)
  if (claim.fresh) await Promise.all([folders.settle(dirname(claim.path)), folders.settle(sessions.path)])
}

async function commit(
  store: Store,
  id: string,
  path: string,
  from: UploadState | undefined
): Promise<Committed | undefined> {
  const session = await store.sessions.find(id)
  if (!session) return existing(store, path)
  if (!isAs(session, from)) throw conflict(id)
  if (await isLinked(store, session, path)) {
    // Committed by one who got no further.
    const committed = await existing(store, path)
    await end(session.path)
    return committed
  }
  const file = await claimWhole(store, id, session)
  const existed = await linkOrRest(store, id, file, path)
  const committed = existed ? await existing(store, path) : { size: session.size, existed }
  if (!existed) await store.folders.settle(dirname(path))
  await end(file)
  return committed
}

/** The object that is there; its folder is made durable, for whoever committed it may not have come so far. */
async function existing({ root, folders }: Store, path: string): Promise<Committed | undefined> {
  const stat = await statFound(root, path)
  if (!stat?.isFile()) return undefined
  await folders.settle(dirname(path))
  return { size: stat.size, existed: true }
}

async function isLinked({ root }: Store, session: Session, path: string): Promise<boolean> {
  if (session.atRest) return false
  const [file, object] = [await root.stat(session.path), await root.stat(path)]
  return file !== undefined && file.ino === object?.ino && file.dev === object.dev
}

/** The path of the upload's file, which is ours alone from now on and whose bytes are durable. */
async function claimWhole({ sessions }: Store, id: string, session: Session): Promise<string> {
  if (sessions.resume(session)) return session.path
  const claim = await sessions.claim(id, session, session.writer)
  try {
    // Only a copy is not known to be durable, yet an upload at rest costs nothing to sync again.
    await claim.handle.datasync()
  } finally {
    await claim.handle.close()
  }
  return claim.path
}

/** Makes the file the object, unless there is one: then `true`. The upload is as it was when this fails. */
async function linkOrRest(
  { folders, sessions, root }: Store,
  id: string,
  file: string,
  path: string
): Promise<boolean> {
  try {
    await folders.within(dirname(path), async () => {
      try {
        await link(file, path)
      } catch (error) {
        if (isMissing(error) && !(await statFound(root, file))) throw conflict(id, error)
        throw error
      }
    })
    return false
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return true
    await sessions.rest({ id, path: file }).catch(() => undefined)
    throw error
  }
}

/** Takes the file and its folder away. The folder stays where somebody began the upload anew. */
async function end(file: string): Promise<void> {
  await unlink(file).catch(ignoreMissing)
  await rmdir(dirname(file)).catch(error => {
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') ignoreMissing(error)
  })
}

/**
 * Takes the upload out of everybody's sight first. What is in it is asked through a descriptor from before: where a
 * process may open no more files, it would stay in the temporary folder else.
 */
async function abort({ root, sessions }: Store, id: string): Promise<void> {
  const folder = sessions.folderOf(id)
  await root.confine(folder)
  const entries = await opendir(folder).catch(ignoreMissing)
  if (!entries) return root.confirm(folder)
  let temporary: string
  try {
    temporary = await root.temporary()
    await rename(folder, temporary)
    for (let entry = await entries.read(); entry; entry = await entries.read()) {
      await unlink(join(temporary, entry.name)).catch(ignoreMissing)
    }
  } catch (error) {
    if (!isMissing(error)) throw error
    return await root.confirm(folder) // awaited here: it may fail before `entries` is closed, and nobody would hear it
  } finally {
    await entries.close()
  }
  // Who took the upload over meanwhile has put another folder in its place.
  await rmdir(temporary).catch(() => rm(temporary, { recursive: true, force: true }))
}

async function* listUploads({ root, sessions }: Store): AsyncGenerator<{ id: string; ageMs: number }> {
  await root.confine(sessions.path)
  // A read-only mount may hold no such folder: a copy without empty folders, or nothing at all.
  for (const id of (await readdir(sessions.path).catch(ignoreMissing)) ?? []) {
    if (id.startsWith('.')) continue
    const changed = (await sessions.find(id))?.mtimeMs ?? (await root.stat(sessions.folderOf(id)))?.mtimeMs
    if (changed !== undefined) yield { id, ageMs: root.age(changed) }
  }
}
