// Does the driver do all that the registry needs? Run with `node --test`.
import { test } from 'node:test'
import { storageContract } from 'marina-distribution/storage-contract'
import { openMapDriver } from './map-driver.mjs'

const cases = storageContract(async clock => {
  const driver = openMapDriver({ now: clock })
  // Where several processes may use the store, `peer` is a second driver of it.
  return { driver, peer: driver, close: () => driver.close() }
})

for (const { title, run } of cases) test(title, run)
