import fc from 'fast-check'
import type { Test } from 'tap'
import { NAMES, type Step, unlikeMap } from '../../src/storage-contract/listings.ts'
import type { Opened } from '../../src/storage-contract/parts.ts'
import { contractCases } from '../../src/storage-contract.ts'

/** Opens an empty store that tells ages by the clock. */
export type Open = (t: Test, clock: () => number) => Promise<Opened>

/** What every driver must do: to be called once by each driver's test. */
export function storageContract(t: Test, name: string, open: Open): void {
  for (const { title, run } of contractCases()) {
    t.test(`${name}: ${title}`, async t => {
      await run(clock => open(t, clock))
      t.pass('as the contract has it')
    })
  }
  t.test(`${name}: does what a map would do, in sequences that shrink`, async t => {
    const { driver, peer } = await open(t, Date.now)
    await fc.assert(
      fc.asyncProperty(steps, async steps => {
        const wrong = await unlikeMap([driver, peer], steps)
        await driver.delete(NAMES, { durable: false })
        return wrong === undefined
      }),
      { numRuns: 30 }
    )
    t.pass('every sequence')
  })
}

const key = fc.constantFrom(...NAMES)
const part = fc.tuple(key, fc.nat(7)).map(([name, length]) => name.slice(0, length))
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('put' as const),
    key,
    bytes: fc.uint8Array({ maxLength: 4 }),
    ifAbsent: fc.boolean()
  }),
  fc.record({ do: fc.constant('delete' as const), keys: fc.array(key, { maxLength: 3 }) }),
  fc.record({
    do: fc.constant('list' as const),
    prefix: part,
    options: fc.record({ after: part, limit: fc.nat(10), folders: fc.boolean() }, { requiredKeys: [] })
  })
)
const steps = fc.array(step, { minLength: 5, maxLength: 30 })
