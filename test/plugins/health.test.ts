import t from 'tap'
import { StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { keysIn, onEachDriver, openRegistry } from '../support/registry.ts'

onEachDriver(
  'probes are answered without a login, and leave one key at most',
  async (t, { app, storage }) => {
    for (const path of ['/livez', '/readyz', '/readyz']) {
      const answer = await app.inject(path)
      t.match(answer, { statusCode: 200, headers: { 'cache-control': 'no-store' } }, path)
      t.strictSame(answer.json(), { status: path === '/livez' ? 'live' : 'ready' })
      t.equal((await app.inject({ method: 'HEAD', url: path })).statusCode, 200)
    }
    t.strictSame(await keysIn(storage, 'system/'), ['system/ready'])
  },
  { access: { anonymous: 'none', certificates: true } }
)

onEachDriver(
  'a registry that only reads writes nothing for a probe',
  async (t, { app, storage }) => {
    t.equal((await app.inject('/readyz')).statusCode, 200)
    t.strictSame(await keysIn(storage), [])
  },
  { readOnly: true }
)

t.test('a store that is away is 503, in a word that tells nothing of it', async t => {
  const fault = new StorageError('unavailable', 'EIO at /srv/secret')
  const { app } = await openRegistry(t, createMemory({ faults: method => (method === 'put' ? fault : undefined) }))
  const answer = await app.inject('/readyz')
  t.equal(answer.statusCode, 503)
  t.strictSame(answer.json(), { status: 'storage' })
  t.equal((await app.inject('/livez')).statusCode, 200, 'a restart would mend nothing')
})
