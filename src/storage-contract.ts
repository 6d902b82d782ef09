import { setTimeout as pause } from 'node:timers/promises'
import { guard } from './storage/guard.ts'
import { type Claims, claims } from './storage-contract/claims.ts'
import { listings } from './storage-contract/listings.ts'
import { objects, refusals } from './storage-contract/objects.ts'
import { type On, type Opened, uploadsIn } from './storage-contract/parts.ts'
import { contendedUploads } from './storage-contract/races.ts'
import { committedUploads, growingUploads } from './storage-contract/uploads.ts'

export type * from './storage/driver.ts'
export { StorageError } from './storage/driver.ts'
export type { Opened } from './storage-contract/parts.ts'

/**
 * Opens an empty store for one case, through two drivers where two processes may use it. `clock` tells ms since 1970:
 * the driver has to tell ages by it. `close` gives back what was opened.
 */
export type OpenStore = (clock: () => number) => Promise<Opened & { close?: () => Promise<void> }>

/** One thing that a driver must do. */
export interface ContractCase {
  title: string
  /** Throws an AssertionError that says what the driver does otherwise. */
  run(): Promise<void>
}

/**
 * What a driver of one's own must do to hold a registry: cases for whatever runs your tests. With node:test it is
 * `for (const { title, run } of storageContract(open)) test(title, run)`.
 */
export function storageContract(open: OpenStore): ContractCase[] {
  return contractCases().map(({ title, run }) => ({
    title,
    run: async () => {
      await run(async clock => {
        const { driver, peer, ...rest } = await open(clock)
        // As the registry will use it: behind the checks that all drivers share.
        return { ...rest, driver: guard(driver), peer: guard(peer) }
      })
    }
  }))
}

/** The cases over stores that are opened as they are, behind a guard or not. */
export function contractCases(): { title: string; run(open: OpenStore): Promise<void> }[] {
  const cases: { title: string; run(open: OpenStore): Promise<void> }[] = []
  const on: On = (title, work) => {
    cases.push({ title, run: open => runCase(open, work) })
  }
  objects(on)
  listings(on)
  refusals(on)
  growingUploads(on)
  committedUploads(on)
  contendedUploads(on)
  return cases
}

async function runCase(open: OpenStore, work: Parameters<On>[1]): Promise<void> {
  let shift = 0
  const opened = await open(() => Date.now() + shift)
  try {
    const forward = (ms: number): void => {
      shift += ms
    }
    await work(claims, { ...opened, forward })
    await leavesNothing(claims, opened)
  } finally {
    await opened.close?.()
  }
}

async function leavesNothing(t: Claims, { driver, leftovers, handles }: Opened): Promise<void> {
  await driver.delete((await driver.list('')).map(({ key }) => key))
  for await (const { id } of driver.listUploads()) await driver.abort(id)
  t.same(await driver.list('', { folders: true }), [], 'no key is left')
  t.same(await uploadsIn(driver), [], 'no upload is left')
  t.same((await leftovers?.()) ?? [], [], 'nothing else is left')
  // What was not asked to be durable may still be on its way there.
  for (let tries = 0; tries < 100 && handles?.(); tries++) await pause(5)
  t.equal(handles?.() ?? 0, 0, 'nothing is open')
}
