import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createReadiness } from '../../src/registry/readiness.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { keysIn } from '../support/registry.ts'

const TRUST_MS = 60
const LIMIT_MS = 100

/** Readiness over a store whose calls are counted, held up or fail as a test says. */
function watched({ writes = true } = {}) {
  const state = { calls: [] as string[], hangs: false, fault: undefined as Error | undefined, told: [] as string[] }
  const memory = createMemory()
  const turn =
    <A extends unknown[], R>(name: string, work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      state.calls.push(name)
      if (state.hangs) await new Promise(() => {})
      if (state.fault) throw state.fault
      return work(...args)
    }
  const storage: StorageDriver = {
    ...memory,
    put: turn('put', memory.put),
    get: memory.get,
    stat: turn('stat', memory.stat)
  }
  const log = {
    info: (_: object, message: string) => void state.told.push(message),
    warn: ({ err }: { err?: Error }, message: string) => void state.told.push(`${message} ${err?.message}`)
  }
  return { state, storage, ...createReadiness({ storage, log, writes, trustMs: TRUST_MS, limitMs: LIMIT_MS }) }
}

t.test('the store is written to and read, once for all who ask meanwhile', async t => {
  const { state, storage, ready } = watched()
  t.strictSame(await Promise.all([ready(), ready(), ready()]), [true, true, true])
  t.equal(await ready(), true)
  t.strictSame(state.calls, ['put'], 'an outcome holds for a while')
  await sleep(TRUST_MS + 20)
  t.equal(await ready(), true)
  t.strictSame(state.calls, ['put', 'put'])
  t.strictSame(await keysIn(storage), ['system/ready'], 'however often, it is one key')
  t.strictSame(state.told, [])
})

t.test('a store that fails is not ready until it works again, and the log is told of each change once', async t => {
  const { state, ready } = watched()
  state.fault = new StorageError('unavailable', 'the disk went')
  t.equal(await ready(), false)
  t.equal(await ready(), false)
  await sleep(TRUST_MS + 20)
  t.equal(await ready(), false)
  state.fault = undefined
  t.equal(await ready(), false, 'as long as the outcome holds')
  await sleep(TRUST_MS + 20)
  t.equal(await ready(), true)
  t.strictSame(state.told, ['the storage does not work: not ready the disk went', 'the storage works again: ready'])
})

t.test('a store that hangs is not ready after the limit, and is not asked again while it does', async t => {
  const { state, ready } = watched()
  state.hangs = true
  const since = performance.now()
  t.strictSame(await Promise.all([ready(), ready()]), [false, false])
  const took = performance.now() - since
  t.ok(took >= LIMIT_MS - 5 && took < 20 * LIMIT_MS, `${took} ms`)
  const again = performance.now()
  t.equal(await ready(), false)
  t.ok(performance.now() - again < LIMIT_MS, 'the limit counts from when the trial began')
  t.strictSame(state.calls, ['put'])
  t.strictSame(state.told, ['the storage does not work: not ready the store does not answer within 0.1 s'])
})

t.test('15.6: where nothing is written, what only the owner of the folder may read is not looked at', async t => {
  const { storage } = watched()
  const looked: string[] = []
  const stat: StorageDriver['stat'] = async key => {
    looked.push(key)
    return undefined
  }
  const log = { info: () => {}, warn: () => {} }
  t.equal(await createReadiness({ storage: { ...storage, stat }, log, writes: false }).ready(), true)
  t.match(looked, [/^catalog\//])
  t.equal(looked.length, 1)
})

t.test('a full store serves pulls: it is ready', async t => {
  const { state, storage, ready } = watched()
  state.fault = new StorageError('full', 'no room')
  t.equal(await ready(), true)
  t.strictSame(await keysIn(storage), [])
})

t.test('a store that keeps nothing is not ready', async t => {
  const { state, storage } = watched()
  const forgetful = createReadiness({
    storage: { ...storage, get: async () => undefined },
    log: { info: () => {}, warn: (_: object, message: string) => void state.told.push(message) },
    writes: true
  })
  t.equal(await forgetful.ready(), false)
})

t.test('where nothing may be written, it is looked', async t => {
  const { state, storage, ready } = watched({ writes: false })
  t.equal(await ready(), true)
  t.strictSame(state.calls, ['stat'])
  t.strictSame(await keysIn(storage), [])
})
