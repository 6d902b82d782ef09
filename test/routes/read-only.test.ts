import t from 'tap'
import { createMemory } from '../../src/storage/memory.ts'
import { holds, refused, told } from '../support/answers.ts'
import { endpoints } from '../support/endpoints.ts'
import { digestOf, random } from '../support/images.ts'
import { keysIn, openRegistry } from '../support/registry.ts'

t.test('READ_ONLY refuses what would change the registry, and serves the rest', async t => {
  let now = Date.UTC(2026, 0)
  const storage = createMemory({ now: () => now })
  const open = await openRegistry(t, storage)
  const image = await open.pushImage('a', 'v1')
  const digest = await open.pushBlob('a', Buffer.from('x'))
  const session = await open.begin('a')
  const closed = await open.peer({ readOnly: true })
  now += 13 * 3600e3
  const before = await keysIn(storage)

  holds(t, await closed.getManifest('a', 'v1'), image.bytes, image.digest, 'a manifest')
  told(t, await closed.head(`/v2/a/blobs/${digest}`), 200, {}, 'HEAD of a blob, which is old enough for a new link')
  t.strictSame(await closed.tags('a'), ['v1'])
  for (const { endpoint, path, methods } of endpoints) {
    const writes = endpoint.startsWith('upload')
    for (const method of methods.filter(method => writes || ['PUT', 'DELETE'].includes(method))) {
      const answer = await closed.send(method, path('a'))
      refused(t, answer, 405, 'UNSUPPORTED', `${method} ${endpoint}`, method)
      t.equal(answer.headers.allow, writes ? '' : 'GET, HEAD', `${method} ${endpoint}`)
    }
  }
  const mount = `/v2/b/blobs/uploads/?mount=${digest}&from=a`
  refused(t, await closed.send('POST', mount), 405, 'UNSUPPORTED', 'a mount')
  refused(t, await closed.close(session, digestOf(random(3))), 405, 'UNSUPPORTED', 'an upload that was begun before')
  t.strictSame(await keysIn(storage), before, 'nothing was written')
})
