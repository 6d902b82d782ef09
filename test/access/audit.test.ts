import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Config } from '../../src/config.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { basic, clientOf, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { digestOf, IMAGE, random } from '../support/images.ts'
import { openRegistry } from '../support/registry.ts'

const POLICY = `
rules:
  - {users: [alice], repositories: ['**'], actions: ['*']}
  - {users: [bob], repositories: [team/**], actions: [pull]}
`

type Line = Record<string, unknown>

async function open(t: Test, settings: Partial<Config> = {}, storage: StorageDriver = createMemory()) {
  const folder = t.testdir({ policy: POLICY })
  writeFileSync(join(folder, 'users'), await htpasswdOf('alice', 'bob'))
  const access = { htpasswdFile: join(folder, 'users'), policyFile: join(folder, 'policy'), anonymous: 'none' as const }
  const [audited, lines]: [Line[], Line[]] = [[], []]
  const onLog = (line: Line) => {
    lines.push(line)
    if (line.audit) audited.push(line)
  }
  const registry = await openRegistry(t, storage, { access, onLog, ...settings })
  /** What was audited since it was asked last, without what every line has. */
  const heard = () => {
    for (const { level, msg, reqId, time, address } of audited) {
      t.match(
        { level, msg, reqId, time, address },
        { level: 30, msg: 'audit', reqId: /./, time: /^\d{4}-.*Z$/, address: /./ }
      )
    }
    return audited
      .splice(0)
      .map(
        ({ level: _1, msg: _2, reqId: _3, time: _4, address: _5, pid: _6, hostname: _7, audit: _8, ...rest }) => rest
      )
  }
  const clients = { alice: clientOf(registry.send, 'alice'), bob: clientOf(registry.send, 'bob') }
  return { ...registry, ...clients, lines, heard }
}

t.test('each write is a line: who, what, to what', async t => {
  const { alice, heard } = await open(t)
  const bytes = random(20)
  const digest = await alice.pushBlob('team/app', bytes)
  const who = { user: 'alice', outcome: 'done' }
  t.strictSame(heard(), [{ event: 'blob.push', ...who, status: 201, repository: 'team/app', digest }])
  const single = digestOf(Buffer.from('single'))
  await alice.send('POST', `/v2/team/app/blobs/uploads/?digest=${single}`, { body: Buffer.from('single') })
  t.strictSame(heard(), [{ event: 'blob.push', ...who, status: 201, repository: 'team/app', digest: single }])
  await alice.send('POST', `/v2/team/b/blobs/uploads/?mount=${digest}&from=team/app`)
  const mounted = { event: 'blob.mount', ...who, status: 201, repository: 'team/b', digest, from: 'team/app' }
  t.strictSame(heard(), [mounted])

  const image = await alice.pushImage('team/app', 'v1')
  t.strictSame(heard().at(-1), {
    event: 'manifest.push',
    ...who,
    status: 201,
    repository: 'team/app',
    tags: ['v1'],
    digest: image.digest
  })
  const path = `/v2/team/app/manifests/${image.digest}`
  await alice.send('PUT', `${path}?tag=a&tag=b`, { headers: { 'content-type': IMAGE }, body: image.bytes })
  t.match(heard(), [{ event: 'manifest.push', tags: ['a', 'b'], digest: image.digest }])
  await alice.del('/v2/team/app/manifests/a')
  await alice.del(path)
  await alice.del(`/v2/team/b/blobs/${digest}`)
  t.match(heard(), [
    { event: 'tag.delete', ...who, status: 202, repository: 'team/app', tags: ['a'] },
    { event: 'manifest.delete', ...who, repository: 'team/app', digest: image.digest },
    { event: 'blob.delete', ...who, repository: 'team/b', digest }
  ])
})

t.test('what changes nothing is no line: reading, steps of an upload, what is not there, a wrong digest', async t => {
  const { alice, heard } = await open(t)
  const { digest } = await alice.pushImage('team/app', 'v1')
  heard()
  await alice.tags('team/app')
  await alice.getManifest('team/app', digest)
  await alice.get('/v2/_catalog')
  const session = await alice.begin('team/app')
  await alice.patch(session, random(10))
  await alice.get(session)
  await alice.close(session, digestOf(random(3)))
  await alice.del(await alice.begin('team/app'))
  await alice.send('POST', `/v2/team/app/blobs/uploads/?mount=${digest}&from=team/none`)
  await alice.del('/v2/team/app/manifests/none')
  await alice.get('/v2/nothing')
  t.strictSame(heard(), [])
})

t.test('each denial and each login is a line', async t => {
  const { alice, bob, send, heard } = await open(t, { immutableTags: ['v*'] })
  t.equal((await send('GET', '/v2/')).status, 401, 'asking how to log in')
  t.strictSame(heard(), [], 'is neither')
  await alice.get('/v2/')
  t.strictSame(heard(), [{ event: 'login', outcome: 'done', status: 200, user: 'alice' }])
  await withHeaders(send, basic('alice', 'guessed-wrong')).get('/v2/')
  await withHeaders(send, basic('hunter2-as-a-name', 'guessed-wrong'))
    .tags('team/app')
    .catch(() => undefined)
  await withHeaders(send, { authorization: 'Bearer hunter2-as-a-name' }).get('/v2/team/app/tags/list')
  const login = { event: 'login', outcome: 'denied', status: 401 }
  t.strictSame(
    heard(),
    [
      { ...login, user: 'alice' },
      { ...login, user: undefined },
      { ...login, user: undefined }
    ].map(withoutUndefined)
  )

  await bob.send('POST', '/v2/team/app/blobs/uploads/')
  await bob.putManifest('team/app', 'v1', random(5))
  await bob.get('/v2/secret/app/manifests/v1')
  await bob.get('/v2/secret/app/tags/list')
  await send('GET', '/v2/team/app/tags/list')
  await send('GET', '/v2/_catalog')
  const [denied, bobs] = [{ outcome: 'denied', status: 403 }, { user: 'bob' }]
  t.strictSame(heard(), [
    { event: 'blob.push', ...denied, ...bobs, repository: 'team/app' },
    { event: 'manifest.push', ...denied, ...bobs, repository: 'team/app', tags: ['v1'] },
    { event: 'manifest.pull', ...denied, ...bobs, repository: 'secret/app', tags: ['v1'] },
    { event: 'tags.list', ...denied, ...bobs, repository: 'secret/app' },
    { event: 'tags.list', ...denied, status: 401, repository: 'team/app' },
    { event: 'catalog.list', ...denied, status: 401 }
  ])

  await alice.pushImage('team/app', 'v1')
  heard()
  const again = await alice.prepareImage('team/app')
  heard()
  t.equal((await alice.putManifest('team/app', 'v1', again)).status, 409)
  t.match(heard(), [{ event: 'manifest.push', outcome: 'denied', status: 409, user: 'alice', tags: ['v1'] }])
})

t.test('a write that broke is a line, as it may have taken place', async t => {
  const memory = createMemory()
  let broken = false
  const storage: StorageDriver = {
    ...memory,
    put: async (...args) => {
      if (broken) throw new RegistryError('storage-unavailable')
      return memory.put(...args)
    }
  }
  const { alice, heard } = await open(t, {}, storage)
  const image = await alice.prepareImage('team/app')
  heard()
  broken = true
  t.equal((await alice.putManifest('team/app', 'v1', image)).status, 503)
  t.match(heard(), [{ event: 'manifest.push', outcome: 'failed', status: 503, user: 'alice', tags: ['v1'] }])
})

t.test('a client that does not wait for the answer is in the log all the same', async t => {
  const memory = createMemory()
  let arrived = () => {}
  const storage: StorageDriver = {
    ...memory,
    put: async (...args) => {
      arrived()
      await sleep(100)
      return memory.put(...args)
    }
  }
  const { app, alice, heard } = await open(t, {}, storage)
  const image = await alice.prepareImage('team/app')
  heard()
  const { socket } = await openSocket(app)
  const reached = new Promise<void>(resolve => (arrived = resolve))
  const head = [
    'PUT /v2/team/app/manifests/v1 HTTP/1.1',
    'Host: h',
    `Content-Type: ${IMAGE}`,
    `Content-Length: ${image.length}`,
    `Authorization: ${basic('alice', passwordOf('alice')).authorization}`
  ]
  socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), image]))
  await reached
  socket.destroy()
  const lines: object[] = []
  for (let tries = 0; tries < 100 && lines.length === 0; tries++) {
    await sleep(50)
    lines.push(...heard())
  }
  t.match(lines, [{ event: 'manifest.push', outcome: 'done', user: 'alice', digest: digestOf(image) }])
})

t.test('audit lines do not depend on LOG_LEVEL, but for silent, and AUDIT_LOG decides', async t => {
  for (const [settings, expected] of [
    [{ logLevel: 'error' }, 1],
    [{ logLevel: 'silent' }, 0],
    [{ auditLog: false }, 0],
    [{ access: undefined }, 0],
    [{ access: undefined, auditLog: true }, 1]
  ] as [Partial<Config>, number][]) {
    const { alice, heard, lines } = await open(t, settings)
    await alice.pushBlob('team/app', random(5))
    t.equal(heard().length, expected, JSON.stringify(settings))
    if (settings.logLevel) t.equal(lines.length, expected, 'and nothing else is in the log')
  }
})

t.test('a presigned URL that a client is sent to is not in the log', async t => {
  const memory = createMemory()
  const signed = 'https://bucket.example.com/x?X-Amz-Signature=0123456789abcdef'
  const { alice, lines } = await open(t, { redirectExpiryMs: 60_000 }, { ...memory, url: async () => signed })
  const digest = await alice.pushBlob('team/app', random(100_000))
  t.equal((await alice.get(`/v2/team/app/blobs/${digest}`)).headers.location, signed)
  t.ok(lines.length > 2)
  t.notMatch(JSON.stringify(lines), /X-Amz-Signature/)
})

const withoutUndefined = (line: Line): Line => JSON.parse(JSON.stringify(line)) as Line
