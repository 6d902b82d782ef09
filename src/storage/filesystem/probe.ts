import { link, mkdir, open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StorageError } from '../driver.ts'
import { codeOf, ignoreMissing, isFull } from './errors.ts'

/** `statfs` types of file systems on this machine's own disks or memory. Any other is taken for a network's. */
const LOCAL_TYPES: Readonly<Record<string, ReadonlySet<number>>> = {
  linux: new Set([
    0xef53, // ext2, ext3, ext4
    0x58465342, // xfs
    0x9123683e, // btrfs
    0x2fc12fc1, // zfs
    0xca451a4e, // bcachefs
    0xf2f52010, // f2fs
    0x3153464a, // jfs
    0x01021994, // tmpfs
    0x858458f6, // ramfs
    0x794c7630 // overlay
  ]),
  darwin: new Set([0x11, 0x1a]) // hfs+, apfs
}

/** What a folder turned out to be able to do. */
export interface Abilities {
  /** The folder is on a disk of this machine: calls return at once, and its times are this machine's clock. */
  local: boolean
  /** `a` and `A` are the same file. */
  ignoresCase: boolean
}

/**
 * Makes the root folder if need be and tries everything that the driver rests on.
 *
 * @param temp a path inside the root where nothing is
 * @throws StorageError `failed`, in one sentence for the operator
 */
export async function probe(root: string, temp: string): Promise<Abilities> {
  const folder = dirname(temp)
  await makeRoot(root)
  const refused = `The folder ${root} cannot be written to`
  try {
    await attempt(refused, root, async () => {
      await mkdir(folder).catch(unlessThere)
      await mkdir(temp)
      await writeFile(join(temp, 'one'), '', { flush: true })
      await rename(join(temp, 'one'), join(temp, 'two'))
    })
    await attempt(`The file system of ${root} has no hard links, which uploads need`, root, () =>
      link(join(temp, 'two'), join(temp, 'three'))
    )
    await attempt(`The file system of ${root} cannot make a folder durable (fsync)`, root, () => syncOnce(root))
    const ignoresCase = await isThere(join(temp, 'TWO'))
    return { local: await isLocal(root), ignoresCase }
  } finally {
    await rm(temp, { recursive: true, force: true }).catch(() => undefined)
  }
}

/** As `probe`, for a folder that is only read: nothing is written, except the folder itself where it is missing. */
export async function probeReading(root: string): Promise<Abilities> {
  await makeRoot(root)
  const refused = `The folder ${root} cannot be read`
  const names = await attempt(refused, root, () => readdir(root))
  const inLowerCase = names.find(name => name.toUpperCase() !== name)
  const other = inLowerCase?.toUpperCase()
  const ignoresCase = other !== undefined && !names.includes(other) && (await isThere(join(root, other)))
  return { local: await isLocal(root), ignoresCase }
}

async function makeRoot(root: string): Promise<void> {
  await attempt(`The folder ${root} cannot be made`, root, async () => {
    for (const made of await makeFolders(root)) await syncOnce(dirname(made))
  })
}

/** Node's own recursive mkdir never ends where a file system says ENOENT for each new folder, as /proc does. */
async function makeFolders(root: string): Promise<string[]> {
  const missing: string[] = []
  for (let at = root; !(await isFolder(at)); at = dirname(at)) missing.unshift(at)
  for (const folder of missing) await mkdir(folder).catch(unlessThere)
  return missing
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(ignoreMissing)
  if (found?.isDirectory() === false) throw Object.assign(new Error(`${path} is a file`), { code: 'ENOTDIR' })
  return found !== undefined
}

function unlessThere(error: unknown): undefined {
  if (codeOf(error) === 'EEXIST') return undefined
  throw error
}

/**
 * What to take for true where there was no room to try it: a store that was opened before has been tried then, and it
 * must open, since to delete something is what helps. Throws the error for any other fault and any other folder.
 *
 * @param made a folder of the root that is there once it was opened, its name in lower case
 */
export async function withoutRoom(root: string, made: string, error: unknown): Promise<Abilities> {
  if (!(error instanceof StorageError) || !isFull(error.cause) || !(await isThere(join(root, made)))) throw error
  return { local: await isLocal(root), ignoresCase: await isThere(join(root, made.toUpperCase())) }
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false
  )

async function isLocal(root: string): Promise<boolean> {
  const found = await statfs(root).catch(() => undefined)
  return found !== undefined && LOCAL_TYPES[process.platform]?.has(found.type) === true
}

async function syncOnce(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Does something on the root folder. Throws `StorageError` with the complaint and why, in words for the operator. */
export async function attempt<T>(complaint: string, root: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof StorageError) throw error
    throw new StorageError('failed', `${complaint} (${await reasonFor(error, root)}).`, { cause: error })
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EROFS: 'it is mounted read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of this user is used up',
  ENOTDIR: 'a part of the path is a file',
  ENOENT: 'nothing can be made there'
}

async function reasonFor(error: unknown, root: string): Promise<string> {
  const code = codeOf(error)
  if (code === undefined) return error instanceof Error ? error.message : String(error)
  if (code === 'EACCES' || code === 'EPERM') return `${code}: ${await rightsOf(root)}`
  const reason = REASONS[code]
  return reason === undefined ? code : `${code}: ${reason}`
}

/** Who may do what with the folder, or with the nearest one above it that can be seen. */
async function rightsOf(path: string): Promise<string> {
  const us = `this process runs as user ${process.geteuid?.()}`
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined)
    if (found) return `${at} belongs to user ${found.uid} and has mode ${(found.mode & 0o7777).toString(8)}, ${us}`
    if (at === dirname(at)) return us
  }
}
