import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Digest } from '../../src/registry/digest.ts'
import { createCollector } from '../../src/registry/gc.ts'
import { GC_LEASE, linksOf } from '../../src/registry/keys.ts'
import { createRegistry } from '../../src/registry/registry.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { keysIn, type Opened, openRegistry } from '../support/registry.ts'

const HOUR = 3_600_000

interface Served extends Opened {
  /** Calls of the store that a collection makes and no request does: it looks for repositories. */
  rounds(): number
  pass(ms: number): void
}

/** A registry that collects each `intervalMs`; `around` may hold up what it asks of the store. */
async function serve(
  t: Test,
  intervalMs: number,
  around: (list: StorageDriver['list']) => StorageDriver['list'] = list => list
): Promise<Served> {
  let passed = 0
  const memory = createMemory({ now: () => Date.now() + passed })
  let rounds = 0
  const list: StorageDriver['list'] = async (prefix, options) => {
    if (prefix === 'repositories/') rounds++
    return memory.list(prefix, options)
  }
  const storage = { ...memory, list: around(list) }
  const registry = await openRegistry(t, storage, { gcIntervalMs: intervalMs, gcGraceMs: HOUR })
  return {
    ...registry,
    rounds: () => rounds,
    pass: ms => {
      passed += ms
    }
  }
}

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await look()) return
    await sleep(10)
  }
  throw new Error(`never so: ${what}`)
}

t.test('what nothing needs goes while the app serves', async t => {
  const { storage, pushBlob, pushImage, getManifest, rounds, pass } = await serve(t, 20)
  await pushImage('app', 'v1')
  await pushBlob('app', Buffer.from('named by nothing'))
  const contents = async () => (await keysIn(storage, 'content/')).length
  t.equal(await contents(), 3)
  for (let round = 0; round < 3; round++) {
    pass(HOUR + 1)
    const before = rounds()
    // Each one looks twice: for what it may take, and for what links name.
    await until('a whole round', () => rounds() >= before + 4)
  }
  await until('the content is gone', async () => (await contents()) === 2)
  t.equal((await getManifest('app', 'v1')).status, 200)
})

t.test('another process that collects is left alone', async t => {
  const { storage, rounds } = await serve(t, 5)
  await until('a round', () => rounds() > 0)
  await storage.put(GC_LEASE, Buffer.alloc(0))
  await sleep(50)
  const before = rounds()
  await sleep(100)
  t.equal(rounds(), before)
  await storage.delete([GC_LEASE])
  await until('a round', () => rounds() > before)
})

t.test('a store that fails stops one round and no other', async t => {
  let broken = true
  const failing =
    (list: StorageDriver['list']): StorageDriver['list'] =>
    async (prefix, options) => {
      const entries = await list(prefix, options)
      if (broken && prefix === 'repositories/') throw new Error('broken')
      return entries
    }
  const { rounds, storage, pushBlob, pass } = await serve(t, 5, failing)
  const blob = (await pushBlob('app', Buffer.from('named by nothing'))) as Digest
  pass(HOUR + 1)
  await until('two rounds', () => rounds() > 1)
  t.equal((await keysIn(storage, linksOf('app', blob))).length, 1)
  broken = false
  await until('the link is gone', async () => (await keysIn(storage, linksOf('app', blob))).length === 0)
})

t.test('an app that closes ends the round first', async t => {
  let release = (): void => {}
  let held = false
  const holding =
    (list: StorageDriver['list']): StorageDriver['list'] =>
    async (prefix, options) => {
      const entries = await list(prefix, options)
      if (prefix !== 'repositories/' || held) return entries
      held = true
      await new Promise<void>(resolve => {
        release = resolve
      })
      return entries
    }
  const { app, rounds, storage, pushBlob } = await serve(t, 5, holding)
  await pushBlob('app', Buffer.from('named by nothing'))
  await until('a round', () => held)
  let closed = false
  const closing = app.close().then(() => {
    closed = true
  })
  await sleep(50)
  t.notOk(closed, 'it waits for the call that is under way')
  release()
  await closing
  const before = rounds()
  t.strictSame(await keysIn(storage, GC_LEASE), [], 'the lease is given back')
  await sleep(50)
  t.equal(rounds(), before, 'and nothing comes after')
})

t.test('an app that closes does not wait for the next round', async t => {
  const { app } = await serve(t, 2 ** 40)
  const begun = performance.now()
  await app.close()
  t.ok(performance.now() - begun < 5000)
})

t.test('with an interval of 0 nothing is collected here, and a promise holds all the same', async t => {
  const { storage, pushBlob, head, get, rounds, pass } = await serve(t, 0)
  const blob = (await pushBlob('app', Buffer.from('to be named'))) as Digest
  const links = () => keysIn(storage, linksOf('app', blob))
  const [first] = await links()
  pass(HOUR / 2)
  await sleep(50)
  t.equal(rounds(), 0)
  t.equal((await head(`/v2/app/blobs/${blob}`)).status, 200)
  t.equal((await links()).length, 2, 'another replica, or the command, may collect')

  pass(HOUR / 2)
  const options = { storage, graceMs: HOUR, uploadExpiryMs: 7 * 24 * HOUR }
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const registry = createRegistry({ ...options, log, cacheBytes: 0, sparse: 'index' })
  t.match(await createCollector({ ...options, registry }).collect(), { links: 1 })
  const left = await links()
  t.ok(left.length === 1 && left[0] !== first, 'what was answered "present" is there')
  t.equal((await get(`/v2/app/blobs/${blob}`)).status, 200)
})
