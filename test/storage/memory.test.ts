import t from 'tap'
import { StorageError } from '../../src/storage/driver.ts'
import { type GuardLog, guard } from '../../src/storage/guard.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { fault } from '../../src/storage-contract/parts.ts'
import { storageContract } from './contract.ts'

storageContract(t, 'memory', async (_, clock) => {
  const driver = guard(createMemory({ now: clock }))
  return { driver, peer: driver }
})

t.test('a fault is never taken for a missing object', async t => {
  const broken = new StorageError('unavailable', 'down')
  const driver = guard(createMemory({ faults: method => (method === 'close' ? undefined : broken) }))
  const append = { key: 'made', from: undefined, writer: 'one' }
  for (const call of [
    () => driver.stat('k'),
    () => driver.get('k'),
    () => driver.read('k'),
    () => driver.put('k', Buffer.alloc(0)),
    () => driver.delete(['k']),
    () => driver.list('k'),
    () => driver.url('k', { expiresMs: 1 }),
    () => driver.upload('u'),
    () => driver.append('u', none(), append),
    () => driver.commit('u', 'k', undefined),
    () => driver.abort('u'),
    () => driver.listUploads()[Symbol.asyncIterator]().next()
  ]) {
    const error = await fault(t, 'unavailable', call())
    t.equal(error.message, 'memory: down', 'the driver is named')
    t.equal(error.cause, broken)
  }
  await driver.close()
})

t.test('a fault in the middle of a delete leaves what comes after it', async t => {
  const faults = (method: string, key: string): Error | undefined =>
    method === 'delete' && key === 'b' ? new StorageError('failed', 'broken') : undefined
  const driver = createMemory({ faults })
  for (const key of ['a', 'b', 'c']) await driver.put(key, Buffer.alloc(0))
  await fault(t, 'failed', driver.delete(['a', 'b', 'c']))
  t.same(await driver.list(''), [{ key: 'b' }, { key: 'c' }])
})

t.test('the guard', async t => {
  await t.test('logs each call with its time', async t => {
    const lines: object[] = []
    const log: GuardLog = { level: 'debug', debug: (fields, message) => lines.push({ ...fields, message }) }
    const driver = guard(createMemory(), log)
    await driver.put('some/key', Buffer.from('x'))
    await fault(t, 'failed', driver.get('../key'))
    t.match(lines, [
      { driver: 'memory', method: 'put', key: 'some/key', ms: Number, message: 'storage' },
      { driver: 'memory', method: 'get', key: '../key', ms: Number, message: 'storage' }
    ])
  })

  await t.test('lets through what is not the driver’s own error, and a range’s size', async t => {
    const driver = guard(createMemory())
    const broken = new TypeError('from the source')
    const source = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x')
      throw broken
    }
    await t.rejects(driver.append('u', source(), { key: 'made', from: undefined, writer: 'one' }), broken)
    await driver.put('k', Buffer.from('abc'))
    t.equal((await fault(t, 'range', driver.read('k', { start: 3, end: 3 }))).size, 3)
  })

  await t.test('keeps what else a driver has', async t => {
    t.equal(guard({ ...createMemory(), local: true }).local, true)
  })
})

async function* none(): AsyncGenerator<Uint8Array> {}
