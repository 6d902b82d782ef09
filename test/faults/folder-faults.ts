import { execFile } from 'node:child_process'
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { DiskFault } from './faulty-disk.ts'

const run = promisify(execFile)

/** A disk of its own, in a file, and what is on it. */
export interface Disk {
  /** Where it is mounted. */
  mount: string
  /** The registry's folder on it. */
  storage: string
  /** Names the file that `faulty-disk.ts` reads. */
  control: string
  device: string
}

/** Something that is wrong with a folder, how it comes and how it goes again. */
export interface FolderFault {
  name: string
  /** What requests that need the folder may be answered. */
  statuses: readonly number[]
  /** What the log tells the operator; undefined: there is nothing to tell. */
  log: RegExp | undefined
  begin(disk: Disk, pid: number): Promise<void>
  end(disk: Disk, pid: number): Promise<void>
  /** What is half-written can't be taken away meanwhile, and is swept at a later start. */
  leaves?: true
  /** Connections may end without an answer. */
  breaks?: true
}

/** Makes a disk of 64 MiB and mounts it. For root. */
export async function makeDisk(folder: string): Promise<Disk> {
  const image = join(folder, 'disk.img')
  const mount = join(folder, 'disk')
  await mkdir(mount)
  await writeFile(image, '')
  await run('truncate', ['--size=64M', image])
  await run('mkfs.ext4', ['-q', '-m', '0', '-N', '6000', image])
  const { stdout } = await run('losetup', ['--find', '--show', image])
  const device = stdout.trim()
  await run('mount', [device, mount])
  return { mount, storage: join(mount, 'registry'), control: join(folder, 'fault.json'), device }
}

/** Unmounts it and frees its device. */
export async function removeDisk({ mount, device }: Disk): Promise<void> {
  await run('umount', ['--lazy', mount]).catch(() => undefined)
  await run('losetup', ['--detach', device])
}

const disturb =
  (fault: DiskFault) =>
  async ({ control }: Disk) =>
    writeFile(control, JSON.stringify(fault))
const calm = ({ control }: Disk) => rm(control, { force: true })
const WRITES = ['writev', 'writeFile', 'link', 'rename', 'open', 'mkdir']
const SYNCS = ['datasync', 'sync', 'fsync']

export const folderFaults: readonly FolderFault[] = [
  {
    name: 'a full disk',
    statuses: [507],
    log: /no room left: free space, or inodes/,
    begin: async ({ mount }) => fillSpace(join(mount, 'filler')),
    end: ({ mount }) => rm(join(mount, 'filler'))
  },
  {
    name: 'a disk without a free inode',
    statuses: [507],
    log: /no room left: free space, or inodes/,
    begin: ({ mount }) => fillInodes(join(mount, 'fillers')),
    end: ({ mount }) => rm(join(mount, 'fillers'), { recursive: true })
  },
  {
    name: 'a disk that is mounted read-only',
    statuses: [503],
    log: /can not reach its storage: the file system is mounted read-only/,
    begin: ({ mount }) => patiently(() => run('mount', ['-o', 'remount,ro', mount])),
    end: async ({ mount }) => void (await run('mount', ['-o', 'remount,rw', mount])),
    leaves: true
  },
  {
    name: 'a folder that was moved away',
    statuses: [503],
    log: /can not reach its storage: see that the store is there/,
    begin: ({ storage }) => rename(storage, `${storage}-away`),
    end: ({ storage }) => rename(`${storage}-away`, storage),
    leaves: true
  },
  {
    name: 'a disk that was unmounted',
    statuses: [503],
    log: /can not reach its storage: see that the store is there/,
    begin: async ({ mount }) => void (await run('umount', ['--lazy', mount])),
    end: async ({ mount, device }) => void (await run('mount', [device, mount])),
    leaves: true
  },
  {
    name: 'a process that may open no more files',
    statuses: [503],
    log: /can not reach its storage: this process may open no more files/,
    begin: (_, pid) => limitFiles(pid, 'no more'),
    end: (_, pid) => limitFiles(pid, 'many'),
    breaks: true
  },
  {
    name: 'a disk that fails to write now and then',
    statuses: [500],
    log: /internal error: the disk reports errors/,
    begin: disturb({ calls: WRITES, oneIn: 7, errno: 'EIO' }),
    end: calm
  },
  {
    name: 'a disk that fails to make things durable',
    statuses: [500],
    log: /internal error: the disk reports errors/,
    begin: disturb({ calls: SYNCS, oneIn: 3, errno: 'EIO' }),
    end: calm
  },
  {
    name: 'a slow disk',
    statuses: [],
    log: undefined,
    begin: disturb({ calls: [...WRITES, ...SYNCS], delayMs: 25 }),
    end: calm
  }
]

/** Leaves less than a page of room. */
async function fillSpace(path: string): Promise<void> {
  const file = openSync(path, 'w')
  for (let size = 1 << 20; size >= 512; size >>= 1) {
    try {
      for (;;) writeSync(file, Buffer.alloc(size))
    } catch {}
  }
  closeSync(file)
}

async function fillInodes(folder: string): Promise<void> {
  await mkdir(folder)
  try {
    for (let number = 0; ; number++) writeFileSync(join(folder, String(number)), '')
  } catch {}
}

async function limitFiles(pid: number, how: 'no more' | 'many'): Promise<void> {
  const limit = how === 'many' ? '4096' : '20'
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  for (const process of [String(pid), ...children.split(' ').filter(Boolean)]) {
    await run('prlimit', ['--pid', process, `--nofile=${limit}:4096`])
  }
}

/** A disk that is being written to can't be made read-only: until the moment comes when it is not. */
async function patiently(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await work()
      return
    } catch (error) {
      if (tries === 500) throw error
    }
    await sleep(10)
  }
}
