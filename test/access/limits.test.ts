import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { FREE_FAILURES } from '../../src/access/attempts.ts'
import { hashOf, makeToken } from '../../src/access/robot-token.ts'
import type { Config } from '../../src/config.ts'
import { createRobots } from '../../src/registry/robots.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { digestOf, random } from '../support/images.ts'
import { jobs, openIdIssuer } from '../support/oidc.ts'
import { openRegistry, type Settings } from '../support/registry.ts'

const NONE = { uploads: 0, uploadSessions: 0 }

async function open(t: Test, limits: Config['limits'], settings: Settings = {}) {
  const htpasswdFile = join(t.testdir(), 'users')
  writeFileSync(htpasswdFile, await htpasswdOf('alice', 'bob'))
  const access = { htpasswdFile, anonymous: 'pull' as const }
  const all = { access, trustProxy: ['10.0.0.1', '127.0.0.1'], ...(limits && { limits }), ...settings }
  const registry = await openRegistry(t, createMemory(), all)
  return { ...registry, alice: clientOf(registry.send, 'alice'), bob: clientOf(registry.send, 'bob') }
}

t.test('RATE_LIMIT_PER_ADDRESS: every request counts, and the address is the client’s', async t => {
  const { send, alice } = await open(t, { perAddress: { requests: 5, perMs: 2000 }, ...NONE })
  const from = (address: string) => withHeaders(send, { 'x-forwarded-for': address })
  const one = from('192.0.2.1')
  told(t, await one.get('/v2/'), 401, {}, 'without a login')
  told(t, await one.get('/v2/a/tags/list'), 404, {}, 'what is not there')
  told(t, await one.get('/v2/nothing'), 404, {}, 'what is no endpoint')
  told(t, await one.send('POST', '/v2/a/blobs/uploads/'), 401, {}, 'a denied push')
  told(
    t,
    await withHeaders(send, { ...basic('alice', passwordOf('alice')), 'x-forwarded-for': '192.0.2.1' }).get('/v2/'),
    200,
    {},
    'a login'
  )
  const answer = await one.get('/v2/_catalog')
  const [entry] = refused(t, answer, 429, 'TOOMANYREQUESTS', 'the sixth')
  t.match(entry, { message: 'too many requests of one address', detail: { retryAfter: Number } })
  t.match(answer.headers['retry-after'], /^[12]$/)
  told(t, await from('192.0.2.2').get('/v2/_catalog'), 200, {}, 'another address')
  told(t, await from('192.0.2.2, 192.0.2.1').get('/v2/_catalog'), 429, {}, 'an address that the client made up')
  told(t, await alice.get('/v2/'), 200, {}, 'the proxy itself')
  await sleep(2100)
  told(t, await one.get('/v2/_catalog'), 200, {}, 'later')
})

t.test('RATE_LIMIT_PER_USER: a user counts wherever it is, and who has not logged in does not', async t => {
  const { send, bob } = await open(t, { perUser: { requests: 3, perMs: 60_000 }, ...NONE })
  const alice = (address: string) =>
    withHeaders(send, { ...basic('alice', passwordOf('alice')), 'x-forwarded-for': address }).get('/v2/')
  for (const address of ['192.0.2.1', '192.0.2.2', '192.0.2.3']) told(t, await alice(address), 200, {}, address)
  refused(t, await alice('192.0.2.4'), 429, 'TOOMANYREQUESTS', 'the fourth')
  told(t, await bob.get('/v2/'), 200, {}, 'another user')
  for (let index = 0; index < 10; index++) told(t, await send('GET', '/v2/_catalog'), 200, {}, 'nobody')
  for (let index = 0; index < 5; index++) {
    told(t, await withHeaders(send, basic('bob', 'wrong-password')).get('/v2/'), 401, {}, 'in the name of another')
  }
  told(t, await bob.get('/v2/'), 200, {}, 'who has not asked for it')
})

/** A push of a blob that goes on until it is let go; resolves when its head has been taken. */
async function slowPush(app: FastifyInstance, user: string, path: string) {
  const { port } = app.server.address() as AddressInfo
  const sent = request({ port, method: 'PATCH', path, agent: false, headers: basic(user, passwordOf(user)) })
  const answered = once(sent, 'response')
  answered.catch(() => {})
  sent.write(random(10))
  await sleep(100)
  return {
    end: async () => {
      sent.end()
      const [answer] = await answered
      answer.resume()
      return answer.statusCode as number
    },
    destroy: () => sent.destroy()
  }
}

t.test('UPLOADS_PER_USER: so many at once, and a new one when one has ended, well or not', async t => {
  const { app, alice, bob } = await open(t, { uploads: 2, uploadSessions: 0 })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const sessions = await Promise.all([1, 2, 3].map(() => alice.begin('a')))
  const [first, second] = [await slowPush(app, 'alice', sessions[0]!), await slowPush(app, 'alice', sessions[1]!)]
  const [entry] = refused(t, await alice.patch(sessions[2]!, random(5)), 429, 'TOOMANYREQUESTS', 'the third')
  t.match(entry, { message: 'more than 2 uploads at once' })
  const single = `/v2/a/blobs/uploads/?digest=${digestOf(Buffer.from('x'))}`
  refused(t, await alice.send('POST', single, { body: Buffer.from('x') }), 429, 'TOOMANYREQUESTS', 'in one request')
  told(t, await alice.get(sessions[2]!), 204, {}, 'what brings no bytes is not counted')
  told(t, await alice.begin('a').then(() => alice.get('/v2/a/tags/list')), 404, {}, 'nor is a new session')
  t.ok(await bob.pushBlob('a', random(5)), 'another user')
  t.equal(await first.end(), 202)
  told(t, await alice.patch(sessions[2]!, random(5)), 202, {}, 'after one has ended')
  second.destroy()
  await sleep(100)
  const more = [
    await slowPush(app, 'alice', await alice.begin('a')),
    await slowPush(app, 'alice', await alice.begin('a'))
  ]
  refused(t, await alice.patch(sessions[2]!, random(5)), 429, 'TOOMANYREQUESTS', 'and no more than two')
  for (const push of more) t.equal(await push.end(), 202)
})

t.test('UPLOAD_SESSIONS_PER_USER: those with bytes that have not ended', async t => {
  let now = Date.UTC(2026, 0)
  const day = 24 * 3600e3
  const { alice, bob } = await open(t, { uploads: 0, uploadSessions: 2 }, { now: () => now, uploadExpiryMs: 7 * day })
  const begun = async () => {
    const session = await alice.begin('a')
    return (await alice.patch(session, random(5))).headers.location
  }
  const [first, second] = [await begun(), await begun()]
  for (let index = 0; index < 5; index++) await alice.begin('a')
  const third = await alice.begin('a')
  const [entry] = refused(t, await alice.patch(third, random(5)), 429, 'TOOMANYREQUESTS', 'a third')
  t.match(entry, { message: 'more than 2 uploads that are begun and not ended' })
  const bytes = random(5)
  refused(t, await alice.close(third, digestOf(bytes), { body: bytes }), 429, 'TOOMANYREQUESTS', 'that ends at once')
  t.ok(await bob.pushBlob('a', bytes), 'another user')
  told(t, await alice.patch(first!, random(5)), 202, {}, 'one that is counted goes on')
  told(t, await alice.del(second!), 204, {}, 'one is cancelled')
  told(t, await alice.close(third, digestOf(bytes), { body: bytes }), 201, {}, 'then another may end')
  const fourth = await begun()
  t.ok(fourth)
  told(t, await alice.close(fourth!, digestOf(random(3))), 400, {}, 'one that ends with a wrong digest')
  t.ok(await begun(), 'counts no more')
  refused(t, await alice.patch(await alice.begin('a'), bytes), 429, 'TOOMANYREQUESTS', 'two again')
  now += 8 * day
  t.ok(await begun(), 'those that have expired count no more')
})

t.test('15.11: a clock that is set back two days changes no interval', async t => {
  const days = 2 * 24 * 3600e3
  let [wall, steady] = [Date.UTC(2026, 5), 1_000_000]
  const pass = (ms: number) => {
    wall += ms
    steady += ms
  }
  const issuer = await openIdIssuer(() => wall)
  t.teardown(() => issuer.close())
  const oidc = `issuers:
  - {issuer: '${issuer.url}', audience: registry.example.com, user: 'job:{repository}', required: {repository: acme/*}}`
  const folder = t.testdir({ oidc, policy: "rules: [{users: ['*'], repositories: ['**'], actions: ['*']}]" })
  writeFileSync(join(folder, 'users'), await htpasswdOf('alice'))
  const access = {
    htpasswdFile: join(folder, 'users'),
    policyFile: join(folder, 'policy'),
    anonymous: 'none' as const,
    robots: true,
    oidc: { file: join(folder, 'oidc'), leewayMs: 60_000 },
    tokens: { service: 'r', leewayMs: 0, lifetimeMs: 300_000 }
  }
  const storage = createMemory({ now: () => wall })
  const limits = { perAddress: { requests: 30, perMs: 60_000 }, uploads: 0, uploadSessions: 1 }
  const clocks = { now: () => wall, steady: () => steady }
  const { send } = await openRegistry(t, storage, { access, limits, uploadExpiryMs: 3600e3, ...clocks })
  const [token, robots] = [makeToken(), createRobots(storage)]
  await robots.create(hashOf(token), { name: 'ci', repositories: ['**'], actions: ['pull'], created: 0 })
  const robot = withHeaders(send, basic('ci', token))
  const alice = clientOf(send, 'alice')
  const job = async () => withHeaders(send, basic('job', await issuer.token(jobs.github))).get('/v2/')

  told(t, await robot.get('/v2/'), 200, {}, 'the robot')
  told(t, await job(), 200, {}, 'a job')
  told(t, await alice.patch(await alice.begin('a'), random(5)), 202, {}, 'an upload')
  const asked = issuer.asked.length
  for (let tries = 0; tries < FREE_FAILURES; tries++) {
    await withHeaders(send, basic('alice', `guess ${tries}`)).get('/v2/')
  }
  await robots.revoke('ci')
  wall -= days

  pass(10_001)
  told(t, await robot.get('/v2/'), 401, {}, 'a robot that was revoked 10 s ago')
  pass(50_000)
  issuer.rotate()
  told(t, await job(), 200, {}, 'a job whose issuer has new keys')
  t.ok(issuer.asked.length > asked)
  for (let requests = 0; requests < 29; requests++) await send('GET', '/v2/')
  const answer = await send('GET', '/v2/')
  refused(t, answer, 429, 'TOOMANYREQUESTS', 'too many requests')
  t.ok(Number(answer.headers['retry-after']) <= 60, `Retry-After: ${answer.headers['retry-after']}`)
  pass(60_000)
  told(t, await alice.get('/v2/'), 200, {}, 'a minute later')
  refused(t, await alice.patch(await alice.begin('a'), random(5)), 429, 'TOOMANYREQUESTS', 'a second upload')
  pass(3600e3)
  told(t, await alice.patch(await alice.begin('a'), random(5)), 202, {}, 'when the first one has expired')
})

t.test('without limits nothing is counted', async t => {
  const { alice, send } = await open(t, undefined)
  for (let index = 0; index < 50; index++) await send('GET', '/v2/_catalog')
  const sessions = await Promise.all(Array.from({ length: 20 }, () => alice.begin('a')))
  for (const answer of await Promise.all(sessions.map(session => alice.patch(session, random(5))))) {
    told(t, answer, 202, {}, 'an upload')
  }
})
