import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { listings } from './contract/listings.ts'
import { objects, refusals } from './contract/objects.ts'
import { type On, type Opened, uploadsIn } from './contract/parts.ts'
import { contendedUploads } from './contract/races.ts'
import { committedUploads, growingUploads } from './contract/uploads.ts'

/** Opens an empty store that tells ages by the clock. */
export type Open = (t: Test, clock: () => number) => Promise<Opened>

/** What every driver must do: to be called once by each driver's test. */
export function storageContract(t: Test, name: string, open: Open): void {
  const on: On = (title, run) => {
    t.test(`${name}: ${title}`, async t => {
      let shift = 0
      const opened = await open(t, () => Date.now() + shift)
      const forward = (ms: number): void => {
        shift += ms
      }
      await run(t, { ...opened, forward })
      await leavesNothing(t, opened)
    })
  }
  objects(on)
  listings(on)
  refusals(on)
  growingUploads(on)
  committedUploads(on)
  contendedUploads(on)
}

async function leavesNothing(t: Test, { driver, leftovers, handles }: Opened): Promise<void> {
  await driver.delete((await driver.list('')).map(({ key }) => key))
  for await (const { id } of driver.listUploads()) await driver.abort(id)
  t.same(await driver.list('', { folders: true }), [], 'no key is left')
  t.same(await uploadsIn(driver), [], 'no upload is left')
  t.same((await leftovers?.()) ?? [], [], 'nothing else is left')
  // What was not asked to be durable may still be on its way there.
  for (let tries = 0; tries < 100 && handles?.(); tries++) await pause(5)
  t.equal(handles?.() ?? 0, 0, 'nothing is open')
}
