import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import marina, { type MarinaOptions, type RegistryEvent, type RequestedAction, type Verdict } from '../src/index.ts'
import { createMemory } from '../src/storage/memory.ts'
import { createLog } from './plugins/edge.ts'
import { refused, told } from './support/answers.ts'
import { createClient, overInject, overSocket, parse, type Sending } from './support/client.ts'
import { absent, digestOf, random } from './support/images.ts'

async function openHost(t: Test, options: Omit<MarinaOptions, 'storage'>, log = createLog()) {
  const app = Fastify({ logger: { level: 'debug', stream: log.stream } })
  t.teardown(() => app.close())
  await app.register(marina, { prefix: '/oci', storage: createMemory(), ...options })
  await app.ready()
  /** A client that says who it is. */
  const as = (user: string) => clientOf(overInject(app), user)
  return { app, as, log }
}

function clientOf(send: ReturnType<typeof overInject>, user: string) {
  return createClient((method, path, sending: Sending = {}) =>
    send(method, path.startsWith('/oci') ? path : `/oci${path}`, {
      ...sending,
      headers: { ...sending.headers, ...(user && { 'x-user': user }) }
    })
  )
}

const userOf = (request: FastifyRequest): string => String(request.headers['x-user'] ?? '')

t.test('the host decides, with its request and what it wants to do', async t => {
  const asked: [user: string, action: RequestedAction][] = []
  const { as } = await openHost(t, {
    authorize: async (request, action): Promise<Verdict> => {
      const user = userOf(request)
      asked.push([user, action])
      if (user === '') return 'login'
      if (user === 'admin') return true
      if (action.repository === undefined) return { user }
      return action.name !== 'delete' && action.repository.startsWith(`${user}/`) && { user }
    }
  })
  const [nobody, alice, bob, admin] = [as(''), as('alice'), as('bob'), as('admin')]

  const challenge = { 'www-authenticate': 'Basic realm="registry", charset="UTF-8"' }
  refused(t, await nobody.get('/v2/'), 401, 'UNAUTHORIZED', 'who says nothing is asked')
  told(t, await nobody.get('/v2/alice/app/tags/list'), 401, challenge, 'and told how')
  told(t, await alice.get('/v2/'), 200, {}, 'who is known')

  const { digest, bytes } = await alice.pushImage('alice/app', 'v1')
  await admin.pushImage('bob/app', 'v1')
  asked.length = 0
  told(t, await alice.getManifest('alice/app', 'v1'), 200, {}, 'pull')
  t.strictSame(asked, [['alice', { name: 'pull', repository: 'alice/app' }]])
  refused(t, await bob.getManifest('alice/app', 'v1'), 403, 'DENIED', 'pull of another’s')
  refused(t, await bob.getManifest('alice/none', 'v1'), 403, 'DENIED', 'which looks the same where nothing is')
  refused(t, await bob.putManifest('alice/app', 'v2', bytes), 403, 'DENIED', 'push to another’s')
  refused(t, await alice.del(`/v2/alice/app/manifests/${digest}`), 403, 'DENIED', 'delete')
  t.match(asked.at(-1), ['alice', { name: 'delete', repository: 'alice/app' }])

  t.strictSame(
    parse(await alice.get('/v2/_catalog')),
    { repositories: ['alice/app'] },
    'the catalog shows what is theirs'
  )
  t.strictSame(parse(await admin.get('/v2/_catalog?n=1')), { repositories: ['alice/app'] })
  const [layer] = JSON.parse(bytes.toString()).layers
  for (const from of ['&from=alice/app', '']) {
    const mount = await bob.send('POST', `/v2/bob/app/blobs/uploads/?mount=${layer.digest}${from}`)
    told(t, mount, 202, {}, `no mount of what may not be pulled${from}`)
  }
  told(
    t,
    await admin.send('POST', `/v2/bob/app/blobs/uploads/?mount=${layer.digest}`),
    201,
    {},
    'a mount of what may be'
  )
  told(t, await alice.head(`/v2/alice/app/blobs/${layer.digest}`), 200, {}, 'HEAD')

  asked.length = 0
  refused(t, await admin.get('/v2/A/tags/list'), 400, 'NAME_INVALID', 'no host is asked about what is no name')
  refused(t, await admin.get('/v2/nothing'), 404, 'UNSUPPORTED', 'nor about what is no endpoint')
  t.strictSame(asked, [])
})

t.test('a body that may not be pushed is never read', async t => {
  const { app } = await openHost(t, { authorize: () => false })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1').setEncoding('latin1')
  socket.write(
    `POST /oci/v2/a/blobs/uploads/?digest=${absent()} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n`
  )
  const [answer] = await once(socket, 'data')
  t.match(answer, /^HTTP\/1.1 403 /)
  socket.destroy()
})

t.test('what says neither yes nor no is a no, and what fails is a fault', async t => {
  for (const verdict of ['yes', 1, null, undefined, {}, { user: 1 }]) {
    const { as } = await openHost(t, { authorize: () => verdict as Verdict })
    refused(t, await as('alice').get('/v2/a/tags/list'), 403, 'DENIED', JSON.stringify(verdict) ?? 'undefined')
  }
  const { as, log } = await openHost(t, {
    authorize: () => {
      throw new Error('the database at 10.0.0.1 is away')
    }
  })
  const answer = await as('alice').get('/v2/a/tags/list')
  t.equal(answer.status, 500)
  t.notMatch(answer.body.toString(), /10\.0\.0\.1/)
  t.match(
    log.lines.find(({ level }) => level === 50),
    { err: { message: 'the database at 10.0.0.1 is away' } }
  )
  const both = { storage: createMemory(), authorize: () => true, access: { anonymous: 'pull' as const } }
  await t.rejects(async () => void (await Fastify().register(marina, both)), {
    message: /^access and authorize are both given/
  })
})

t.test('events tell what has happened, once it is answered', async t => {
  const events: RegistryEvent[] = []
  const { as, app } = await openHost(t, {
    authorize: request => ({ user: userOf(request) }),
    onEvent: event => void events.push(event)
  })
  const take = async (): Promise<RegistryEvent[]> => {
    await sleep(20)
    return events.splice(0)
  }
  const alice = as('alice')
  const who = { repository: 'app', user: 'alice' }

  const blob = random(200_000)
  const digest = await alice.pushBlob('app', blob)
  t.strictSame(await take(), [{ event: 'blob.push', ...who, digest }], 'a push of three requests is one event')
  const single = random(10)
  const at = `/v2/app/blobs/uploads/?digest=${digestOf(single)}`
  await alice.must(
    201,
    alice.send('POST', at, { body: single, headers: { 'content-type': 'application/octet-stream' } })
  )
  t.strictSame(await take(), [{ event: 'blob.push', ...who, digest: digestOf(single) }])
  await alice.must(201, alice.send('POST', `/v2/copy/blobs/uploads/?mount=${digest}&from=app`))
  t.strictSame(await take(), [{ event: 'blob.mount', ...who, repository: 'copy', digest, from: 'app' }])

  const image = await alice.pushImage('app', 'v1')
  t.strictSame((await take()).slice(2), [{ event: 'manifest.push', ...who, digest: image.digest, tags: ['v1'] }])
  await alice.getManifest('app', 'v1')
  await alice.getManifest('app', image.digest)
  t.strictSame(await take(), [
    { event: 'manifest.pull', ...who, digest: image.digest, tags: ['v1'] },
    { event: 'manifest.pull', ...who, digest: image.digest }
  ])
  const wired = clientOf(await overSocket(app), 'alice')
  await wired.get(`/v2/app/blobs/${digest}`)
  await wired.get(`/v2/app/blobs/${digest}`, { range: 'bytes=0-1' })
  const pull = { event: 'blob.pull' as const, ...who, digest }
  t.strictSame(await take(), [pull, pull], 'over a connection, whole and in part')

  await alice.head(`/v2/app/blobs/${digest}`)
  await alice.head('/v2/app/manifests/v1')
  await alice.tags('app')
  await alice.getManifest('app', 'v1', { 'if-none-match': `"${image.digest}"` })
  await alice.getManifest('app', 'absent')
  await alice.putManifest('app', 'v1', Buffer.from('{'))
  const cancelled = await alice.begin('app')
  await alice.must(204, alice.del(cancelled))
  t.strictSame(await take(), [], 'looking, failing and giving up are none')

  await alice.must(202, alice.del('/v2/app/manifests/v1'))
  await alice.must(202, alice.del(`/v2/app/manifests/${image.digest}`))
  await alice.must(202, alice.del(`/v2/app/blobs/${digest}`))
  t.strictSame(await take(), [
    { event: 'tag.delete', ...who, tags: ['v1'] },
    { event: 'manifest.delete', ...who, digest: image.digest },
    { event: 'blob.delete', ...who, digest }
  ])
})

t.test('who hears of events holds up nothing and breaks nothing', async t => {
  const heard: string[] = []
  const { as, log } = await openHost(t, {
    onEvent: async ({ event }) => {
      heard.push(event)
      if (event === 'blob.push') throw new Error('deaf')
      await new Promise(() => {})
    }
  })
  const { pushBlob, pushImage, getManifest } = as('')
  await pushBlob('app', random(10))
  await pushImage('app', 'v1')
  t.equal((await getManifest('app', 'v1')).status, 200)
  await sleep(20)
  t.strictSame(heard, ['blob.push', 'blob.push', 'blob.push', 'manifest.push', 'manifest.pull'])
  t.equal(log.lines.filter(({ level, event }) => level === 50 && event === 'blob.push').length, 3)
})

t.test('a pull that its client gave up is no event, a push is', async t => {
  const events: string[] = []
  const { app, as } = await openHost(t, { onEvent: ({ event }) => void events.push(event) })
  const digest = await as('').pushBlob('app', random(20_000_000))
  await sleep(20)
  events.length = 0
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  const pulling = connect(port, '127.0.0.1')
  pulling.write(`GET /oci/v2/app/blobs/${digest} HTTP/1.1\r\nHost: h\r\n\r\n`)
  await once(pulling, 'data')
  pulling.destroy()
  const pushing = connect(port, '127.0.0.1')
  const bytes = random(10)
  pushing.end(
    Buffer.concat([
      Buffer.from(
        `POST /oci/v2/app/blobs/uploads/?digest=${digestOf(bytes)} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n`
      ),
      bytes
    ])
  )
  for (let tries = 0; events.length === 0 && tries < 100; tries++) await sleep(20)
  await sleep(50)
  t.strictSame(events, ['blob.push'])
})

t.test('nothing is read from the environment', async t => {
  const before = { ...process.env }
  t.teardown(() => void (process.env = before))
  Object.assign(process.env, {
    DELETE_ENABLED: 'false',
    READ_ONLY: 'true',
    AUTH_ANONYMOUS: 'pull',
    GC_GRACE: 'nonsense'
  })
  const { app, as }: { app: FastifyInstance; as: (user: string) => ReturnType<typeof createClient> } = await openHost(
    t,
    {}
  )
  const { digest } = await as('').pushImage('app', 'v1')
  told(t, await as('').del(`/v2/app/manifests/${digest}`), 202, {}, 'as set by options alone')
  await app.close()
})
