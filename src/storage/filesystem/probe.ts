import { link, mkdir, open, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StorageError } from '../driver.ts'
import { codeOf } from './errors.ts'

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
  await attempt(`The folder ${root} cannot be made`, async () => {
    const first = await mkdir(folder, { recursive: true })
    for (let at = root; first !== undefined && at.length >= first.length; at = dirname(at)) await syncOnce(dirname(at))
  })
  try {
    await attempt(`The folder ${root} cannot be written to by user ${process.getuid?.()}`, async () => {
      await mkdir(temp)
      await writeFile(join(temp, 'one'), '', { flush: true })
      await rename(join(temp, 'one'), join(temp, 'two'))
    })
    await attempt(`The file system of ${root} has no hard links, which uploads need`, () =>
      link(join(temp, 'two'), join(temp, 'three'))
    )
    await attempt(`The file system of ${root} cannot make a folder durable (fsync)`, () => syncOnce(root))
    const ignoresCase = await stat(join(temp, 'TWO')).then(
      () => true,
      () => false
    )
    return { local: await isLocal(root), ignoresCase }
  } finally {
    await rm(temp, { recursive: true, force: true }).catch(() => undefined)
  }
}

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

async function attempt(complaint: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const reason = codeOf(error) ?? (error instanceof Error ? error.message : String(error))
    throw new StorageError('failed', `${complaint} (${reason}).`, { cause: error })
  }
}
