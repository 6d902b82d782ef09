import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import marina from '../../src/index.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { createLog, openSocket } from '../plugins/edge.ts'
import { refused } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf, passwordOf } from '../support/callers.ts'
import { overInject } from '../support/client.ts'
import { digestOf, random } from '../support/images.ts'

const POLICY = `
rules:
  - {users: [mallory], repositories: [open/**], actions: ['*']}
  - {users: [owner], repositories: ['**'], actions: ['*']}
`

async function open(t: Test) {
  const folder = t.testdir({ policy: POLICY })
  const access = { htpasswdFile: join(folder, 'users'), policyFile: join(folder, 'policy'), anonymous: 'none' as const }
  writeFileSync(access.htpasswdFile, await htpasswdOf('mallory', 'owner'))
  const log = createLog()
  const app = Fastify({ logger: { level: 'trace', stream: log.stream }, routerOptions: { maxParamLength: 4096 } })
  t.teardown(() => app.close())
  await app.register(marina, { storage: createMemory(), access })
  await app.ready()
  const send = overInject(app)
  const [mallory, owner] = [clientOf(send, 'mallory'), clientOf(send, 'owner')]
  await owner.pushImage('secret/app', 'v1')
  await owner.pushImage('open/app', 'v1')
  return { app, log, send, mallory, owner }
}

t.test('no way of writing a name leads round the policy', async t => {
  const { app, mallory } = await open(t)
  const names = [
    'secret/app',
    'secret%2Fapp',
    'secret%2fapp',
    '%73ecret/app',
    'secret%252Fapp',
    'Secret/app',
    'SECRET/APP',
    'open/../secret/app',
    'open/%2e%2e/secret/app',
    'open%2F..%2Fsecret/app',
    './secret/app',
    '/secret/app',
    '//secret/app',
    'secret//app',
    'secret/app%00',
    'secret/app%0a',
    'open/x%0asecret/app',
    'secret/app;open/x',
    'open/app/../../secret/app',
    'x/tags/list/../../../secret/app'
  ]
  for (const name of names) {
    // On the wire, as a client library would tidy the path.
    for (const start of ['/v2/', 'http://h/v2/', '/v2/./', '/v2//']) {
      const { socket, until } = await openSocket(app)
      const { authorization } = basic('mallory', passwordOf('mallory'))
      const lines = [`GET ${start}${name}/tags/list HTTP/1.1`, 'Host: h', `Authorization: ${authorization}`]
      socket.write([...lines, 'Connection: close', '', ''].join('\r\n'))
      const answer = await until('\0never')
      t.match(answer, /^HTTP\/1\.1 40[034] /, `${start}${name}`)
      t.notMatch(answer, /"v1"/, `${start}${name}`)
    }
  }
  t.strictSame(await mallory.tags('open%2Fapp'), ['v1'], 'while an escaped name of their own is theirs')
})

t.test("an upload session is of no use in another's repository", async t => {
  const { mallory, owner } = await open(t)
  const bytes = random(20)
  const session = await owner.begin('secret/app')
  await owner.must(202, owner.patch(session, bytes))
  refused(t, await mallory.get(session), 403, 'DENIED', 'where it is')
  refused(t, await mallory.close(session, digestOf(bytes)), 403, 'DENIED', 'where it is')
  const moved = session.replace('secret/app', 'open/app')
  refused(t, await mallory.get(moved), 404, 'BLOB_UPLOAD_UNKNOWN', 'said to be of another repository')
  refused(
    t,
    await mallory.close(moved, digestOf(bytes)),
    404,
    'BLOB_UPLOAD_UNKNOWN',
    'said to be of another repository'
  )
  refused(t, await mallory.del(moved), 404, 'BLOB_UPLOAD_UNKNOWN', 'said to be of another repository')
})

t.test('an upload session is of no use to another user, though they may push there too', async t => {
  const { mallory, owner } = await open(t)
  const bytes = random(20)
  const session = await owner.begin('open/app')
  const { location } = (await owner.must(202, owner.patch(session, bytes))).headers
  const theirs = [session, location!]
  for (const url of theirs) {
    refused(t, await mallory.get(url), 404, 'BLOB_UPLOAD_UNKNOWN', 'its state')
    refused(t, await mallory.patch(url, bytes), 404, 'BLOB_UPLOAD_UNKNOWN', 'a chunk')
    refused(t, await mallory.close(url, digestOf(bytes)), 404, 'BLOB_UPLOAD_UNKNOWN', 'its end')
    refused(t, await mallory.del(url), 404, 'BLOB_UPLOAD_UNKNOWN', 'its cancellation')
  }
  await owner.must(201, owner.close(location!, digestOf(bytes)))
})

t.test('of several Authorization headers, none adds to another', async t => {
  const { app } = await open(t)
  const of = (user: string, password = passwordOf(user)) => `Authorization: ${basic(user, password).authorization}`
  for (const headers of [
    [of('mallory'), of('owner', 'guessed')],
    [of('owner', 'guessed'), of('mallory')],
    [of('mallory'), 'X-Forwarded-User: owner', 'Remote-User: owner', 'X-Forwarded-Client-Cert: Subject="CN=owner"'],
    [`${of('mallory')}, ${basic('owner', 'guessed').authorization}`]
  ]) {
    const { socket, until } = await openSocket(app)
    socket.write(
      ['GET /v2/secret/app/tags/list HTTP/1.1', 'Host: h', ...headers, 'Connection: close', '', ''].join('\r\n')
    )
    t.match(await until('\0never'), /^HTTP\/1\.1 40[013] /, headers.join(' | '))
  }
})

t.test('no line of the log has a password in it, nor a hash', async t => {
  const { log, send, mallory, owner } = await open(t)
  await mallory.tags('open/app')
  await owner.tags('secret/app')
  const guessed = 'guessed-and-wrong'
  for (const headers of [basic('owner', guessed), { authorization: `Bearer ${guessed}` }, { authorization: guessed }]) {
    refused(t, await send('GET', '/v2/secret/app/tags/list', { headers }), 401, 'UNAUTHORIZED', 'wrong')
  }
  const lines = log.lines.map(line => JSON.stringify(line)).join('\n')
  t.ok(log.lines.length > 10, 'there is a log')
  for (const secret of [passwordOf('owner'), passwordOf('mallory'), guessed]) {
    t.notOk(lines.includes(secret), secret)
    t.notOk(lines.includes(Buffer.from(`owner:${secret}`).toString('base64')), `${secret}, in base64`)
  }
  t.notMatch(lines, /\$2[aby]\$/, 'a hash')
})
