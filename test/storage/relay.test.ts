import fc from 'fast-check'
import t from 'tap'
import { createBuffers } from '../../src/storage/buffers.ts'
import { createRelay } from '../../src/storage/s3/relay.ts'

const KIB = 1024

type Step = { do: 'fill' | 'add'; bytes: number } | { do: 'take' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('fill' as const), bytes: fc.integer({ min: 1, max: 64 * KIB }) })
  },
  { weight: 3, arbitrary: fc.constant({ do: 'take' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('add' as const), bytes: fc.integer({ min: 1, max: 100 }) }) }
)

t.test('all bytes come out in their order, and stay as they are until more are taken', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), steps => {
      const relay = createRelay(createBuffers(0).open())
      let [put, got] = [0, 0]
      let taken: Uint8Array | undefined
      const isTakenWhole = (): boolean => taken?.every((byte, at) => byte === (got + at) % 251) ?? true
      const write = (into: Uint8Array): void => {
        for (let at = 0; at < into.length; at++) into[at] = put++ % 251
      }
      const take = (): boolean => {
        if (!isTakenWhole()) throw new Error('what was taken was written over')
        got += taken?.length ?? 0
        taken = relay.take()
        return taken !== undefined
      }
      for (const next of steps) {
        if (next.do === 'take') take()
        else if (next.do === 'add') {
          const bytes = new Uint8Array(next.bytes)
          write(bytes)
          relay.add(bytes)
        } else {
          const target = relay.target().subarray(0, next.bytes)
          if (target.length === 0) throw new Error('there is no room to go on')
          write(target)
          relay.filled(target.length)
        }
        if (!isTakenWhole()) throw new Error('what was taken was written over')
      }
      while (take());
      return got === put && relay.hasRoom()
    }),
    { numRuns: 500 }
  )
})

t.test('whoever takes nothing holds two buffers', async t => {
  const relay = createRelay(createBuffers(0).open())
  let held = 0
  while (relay.hasRoom()) {
    const { length } = relay.target()
    relay.filled(length)
    held += length
  }
  t.equal(held, 128 * KIB)
  relay.filled(relay.target().subarray(0, 1).length)
  t.equal(relay.take()?.length, 64 * KIB)
  t.equal(relay.hasRoom(), false, 'what was taken is still in use')
  t.equal(relay.take()?.length, 64 * KIB)
  t.equal(relay.hasRoom(), true)
  t.equal(relay.take()?.length, 1, 'what came though there was no room')
})
