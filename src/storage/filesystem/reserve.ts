import { randomBytes } from 'node:crypto'
import { mkdir, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createNew } from './creating.ts'
import { codeOf, isFull } from './errors.ts'
import type { Root } from './root.ts'

/** A name that begins with a dot is never taken for a key. */
const FOLDER = '.reserve'
/** Several, since a disk may be out of inodes: each file is one. */
const FILES = 8
const BYTES = 32 * 1024
/** It is looked after this often at most. */
const PAUSE_MS = 60_000

/**
 * Room that is kept for deletions. To delete a blob is to write a small file first (docs/storage.md, "Word of a loss"), and
 * on a full disk nothing could be deleted otherwise.
 */
export interface Reserve {
  /** Makes what is missing of it, as far as there is room. Never rejects. */
  fill(): Promise<void>
  /** As `fill`, in the background and now and then: to be called where something was written, so that there is room. */
  keep(): void
  /** Does what may take the reserve where there is no other room. */
  spend<T>(work: () => Promise<T>): Promise<T>
  /** Resolves when nothing goes on in the background. */
  settled(): Promise<void>
}

export function createReserve(root: Root): Reserve {
  const folder = join(root.path, FOLDER)
  let filling: Promise<void> = Promise.resolve()
  let lookedAt = performance.now()
  let freeing: Promise<boolean> | undefined
  /** How often it was freed. */
  let times = 0

  async function make(): Promise<void> {
    await mkdir(folder).catch(error => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    await root.confine(folder)
    for (let number = 0; number < FILES; number++) {
      const path = join(folder, String(number))
      // Random, since a file system may store nothing for bytes that are all the same.
      await createNew(path, { bytes: randomBytes(BYTES), durable: false, local: root.local }).catch(async error => {
        if (codeOf(error) === 'EEXIST') return
        await unlink(path).catch(() => undefined)
        throw error
      })
    }
  }

  const fill = (): Promise<void> => {
    lookedAt = performance.now()
    // What can't be had is tried again later; a folder that can't be written to is told of by others.
    filling = filling.then(make).catch(() => undefined)
    return filling
  }

  /** False: there was nothing. */
  async function free(): Promise<boolean> {
    // Not to be filled at once with the room that it was freed for.
    lookedAt = performance.now()
    await filling
    await root.confine(folder)
    const names = await readdir(folder).catch(() => [])
    const freed = await Promise.allSettled(names.map(name => unlink(join(folder, name))))
    const any = freed.some(({ status }) => status === 'fulfilled')
    if (any) times++
    return any
  }

  return {
    fill,
    keep: () => {
      if (performance.now() - lookedAt > PAUSE_MS) void fill()
    },
    spend: async work => {
      const before = times
      try {
        return await work()
      } catch (error) {
        if (!isFull(error)) throw error
        // Several may find the disk full at once; what was freed for one of them is there for all.
        if (times === before) {
          freeing ??= free().finally(() => {
            freeing = undefined
          })
          if (!(await freeing)) throw error
        }
        return work()
      }
    },
    settled: () => filling
  }
}
