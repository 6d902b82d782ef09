import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { hashPassword } from '../../src/access/passwords.ts'
import { hashOf, makeToken } from '../../src/access/robot-token.ts'
import type { TokenSettings } from '../../src/config/tokens.ts'
import { loadConfig } from '../../src/config.ts'
import { createRobots } from '../../src/registry/robots.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { openSocket } from '../plugins/edge.ts'
import { refused, told } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { type Answer, createClient, parse, type Send } from '../support/client.ts'
import { digestOf, random } from '../support/images.ts'
import { jobs, openIdIssuer } from '../support/oidc.ts'
import { keysIn, onEachDriver, openRegistry, type Settings } from '../support/registry.ts'
import { keepSecret } from '../support/secrets.ts'
import { challengeIn, withTokens } from '../support/tokens.ts'

const BASIC = 'Basic realm="registry", charset="UTF-8"'
const TOKENS: TokenSettings = { service: 'registry.example.com', leewayMs: 0, lifetimeMs: 300_000 }
const POLICY = `
rules:
  - {users: [alice], repositories: [team/**], actions: [pull, push]}
  - {users: [owner], repositories: ['**'], actions: ['*']}
`
const OPEN = `${POLICY}  - {anonymous: true, repositories: [public/**], actions: [pull]}\n`

const HOUR = 3600_000
const DAY = 24 * HOUR

async function accessOf(t: Test, policy: string | undefined, tokens = TOKENS) {
  const folder = t.testdir({ ...(policy !== undefined && { policy }) })
  writeFileSync(join(folder, 'users'), await htpasswdOf('alice', 'owner'))
  return {
    htpasswdFile: join(folder, 'users'),
    ...(policy !== undefined && { policyFile: join(folder, 'policy') }),
    anonymous: 'none' as const,
    tokens
  }
}

async function open(t: Test, { policy = OPEN, storage = createMemory() as StorageDriver, ...more }: Opening = {}) {
  const access = await accessOf(t, policy)
  const registry = await openRegistry(t, storage, { access, externalUrl: 'https://registry.example.com', ...more })
  return { ...registry, access, ask: askOf(registry.send) }
}

interface Opening extends Settings {
  policy?: string
  storage?: StorageDriver
}

/** Asks for a token as docker does. */
const askOf =
  (send: Send) =>
  (user: string | undefined, ...scopes: string[]): Promise<Answer> => {
    const query = new URLSearchParams([
      ['service', TOKENS.service],
      ...scopes.map((scope): [string, string] => ['scope', scope])
    ])
    const headers = user === undefined ? {} : basic(user, passwordOf(user))
    return send('GET', `/v2/token?${query}&account=${user}&client_id=docker&offline_token=true`, { headers })
  }

/** As a client that sends its password to the token endpoint alone. */
const dockerOf = (send: Send, user: string | undefined) =>
  createClient(
    withTokens(send, async ({ scope }) => {
      const answer = await askOf(send)(user, ...(scope ? [scope] : []))
      if (answer.status !== 200) throw new Error(`no token: ${answer.status}`)
      return String(parse(answer).token)
    })
  )

const claimsOf = (token: unknown) => JSON.parse(Buffer.from(String(token).split('.')[1]!, 'base64url').toString())
const withToken = (send: Send, answer: Answer) =>
  withHeaders(send, { authorization: `Bearer ${String(parse(answer).token)}` })

onEachDriver('a password is sent once, and tokens from then on', async (t, { storage }) => {
  const { send } = await open(t, { storage })
  const answer = await send('GET', '/v2/')
  t.strictSame(challengeIn(answer), {
    realm: 'https://registry.example.com/v2/token',
    service: 'registry.example.com'
  })
  const alice = dockerOf(send, 'alice')
  await alice.pushImage('team/app', 'v1')
  t.strictSame(await alice.tags('team/app'), ['v1'])
  told(t, await alice.get('/v2/_catalog'), 200, {}, 'the catalog')
  refused(t, await alice.get('/v2/secret/tags/list'), 403, 'DENIED', 'what another token would not help with')
  refused(t, await dockerOf(send, undefined).get('/v2/team/app/tags/list'), 401, 'UNAUTHORIZED', 'anybody')
  refused(t, await dockerOf(send, undefined).get('/v2/public/app/tags/list'), 404, 'NAME_UNKNOWN', 'what is open')
  await clientOf(send, 'alice').pushImage('team/app', 'v2')
  t.strictSame(await alice.tags('team/app'), ['v1', 'v2'], 'a password with every request is taken as well')
})

t.test('a token grants what the policy allows of what is asked', async t => {
  const { ask, send } = await open(t)
  const cases: [user: string | undefined, scopes: string[], granted: string[]][] = [
    ['alice', [], []],
    ['alice', ['repository:team/app:pull'], ['team/app pull']],
    ['alice', ['repository:team/app:pull,push,delete'], ['team/app pull,push']],
    ['alice', ['repository:team/app:*'], ['team/app pull,push']],
    ['owner', ['repository:team/app:*'], ['team/app pull,push,delete']],
    ['alice', ['repository:secret:pull'], []],
    [
      'alice',
      ['repository:team/a:pull repository:secret:pull', 'repository:team/b:push'],
      ['team/a pull', 'team/b push']
    ],
    ['alice', ['registry:catalog:*'], ['catalog *']],
    ['alice', ['registry:catalog:pull', 'registry:other:*', 'nonsense'], []],
    [undefined, ['repository:public/app:pull,push', 'repository:team/app:pull'], ['public/app pull']],
    [undefined, ['registry:catalog:*'], ['catalog *']]
  ]
  for (const [user, scopes, granted] of cases) {
    const answer = await ask(user, ...scopes)
    told(t, answer, 200, { 'cache-control': 'no-store', 'content-type': 'application/json' }, scopes.join(' '))
    const { token, access_token, expires_in, issued_at } = parse(answer)
    t.equal(token, access_token)
    t.equal(expires_in, 300)
    t.ok(Math.abs(Date.parse(String(issued_at)) - Date.now()) < 5000)
    const claims = claimsOf(token)
    t.match(claims, { iss: 'marina-distribution', aud: 'registry.example.com', sub: user ?? '' })
    t.strictSame(
      claims.access.map(({ name, actions }: { name: string; actions: string[] }) => `${name} ${actions}`),
      granted,
      `${user}: ${scopes.join(' ')}`
    )
  }
  const wrong = await send('GET', '/v2/token', { headers: basic('alice', 'wrong') })
  told(t, wrong, 401, { 'www-authenticate': BASIC }, 'a wrong password')
  refused(
    t,
    await ask('alice', ...Array.from({ length: 200 }, (_, i) => `repository:team/r${i}:pull`)),
    400,
    'UNSUPPORTED',
    'more than fits into a header'
  )
})

t.test('OAuth2 clients send a form', async t => {
  const { send } = await open(t)
  const post = (form: Record<string, string> | string, headers = {}) =>
    send('POST', '/v2/token', {
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      body: Buffer.from(typeof form === 'string' ? form : new URLSearchParams(form).toString())
    })
  const form = { grant_type: 'password', username: 'alice', password: passwordOf('alice'), service: TOKENS.service }
  const answer = await post({ ...form, scope: 'repository:team/a:pull,push repository:team/b:pull' })
  t.match(parse(answer), {
    token_type: 'Bearer',
    expires_in: 300,
    scope: 'repository:team/a:pull,push repository:team/b:pull'
  })
  told(t, await withToken(send, answer).get('/v2/team/a/tags/list'), 404, {}, 'the token is good')
  told(t, await post({ ...form, password: 'wrong' }), 401, { 'www-authenticate': BASIC }, 'a wrong password')
  const others: (Record<string, string> | string)[] = [
    { ...form, grant_type: 'refresh_token' },
    { ...form, grant_type: 'client_credentials' },
    {},
    { grant_type: 'password', username: 'alice' },
    '%',
    '\0'
  ]
  for (const other of others) {
    refused(t, await post(other), 400, 'UNSUPPORTED', JSON.stringify(other))
  }
  refused(t, await post('x'.repeat(70_000)), 413, 'MANIFEST_INVALID', 'a form without end')
  refused(t, await send('PUT', '/v2/token'), 405, 'UNSUPPORTED', 'another method')
})

t.test('without anything open to all, nobody gets a token without a login', async t => {
  const { ask, send } = await open(t, { policy: POLICY })
  told(t, await ask(undefined, 'repository:team/app:pull'), 401, { 'www-authenticate': BASIC }, 'nobody')
  told(t, await ask('alice', 'repository:team/app:pull'), 200, {}, 'somebody')
  const token = await ask('alice', 'repository:team/app:pull')
  told(t, await withToken(send, token).get('/v2/token'), 401, { 'www-authenticate': BASIC }, 'a token makes no tokens')
})

t.test('a token is a ceiling, and the policy counts with every request', async t => {
  const { ask, send, access } = await open(t)
  const reader = withToken(send, await ask('alice', 'repository:team/app:pull'))
  const refusal = await reader.send('POST', '/v2/team/app/blobs/uploads/')
  t.match(challengeIn(refusal), { scope: 'repository:team/app:pull,push', error: 'insufficient_scope' })
  const both = withToken(send, await ask('alice', 'repository:team/app:pull,push'))
  await both.pushImage('team/app', 'v1')
  writeFileSync(access.policyFile!, POLICY.replace('team/**', 'elsewhere'))
  for (let tries = 0; tries < 100 && (await both.get('/v2/team/app/tags/list')).status === 200; tries++) {
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  refused(t, await both.get('/v2/team/app/tags/list'), 403, 'DENIED', 'a right that was taken away since')
})

t.test('a token that ends in the middle of a push', async t => {
  let now = Date.UTC(2026, 5)
  const { ask, send, app } = await open(t, { now: () => now })
  const token = await ask('alice', 'repository:team/app:pull,push')
  const bytes = random(200_000)
  const client = withToken(send, token)
  const session = await client.begin('team/app')
  const { socket, until } = await openSocket(app)
  const head = [`PATCH ${session} HTTP/1.1`, 'Host: h', `Authorization: Bearer ${String(parse(token).token)}`]
  const framing = [`Content-Length: ${bytes.length}`, 'Expect: 100-continue', 'Connection: close', '', '']
  socket.write([...head, ...framing].join('\r\n').replace('https://registry.example.com', ''))
  await until('100 Continue')
  now += 301_000
  socket.write(bytes)
  const answer = await until('\0never')
  t.match(answer, /HTTP\/1\.1 202 /, 'a request that began with a good token is served to its end')
  const location = /location: (\S+)/i.exec(answer)![1]!
  const late = await client.close(location, digestOf(bytes))
  t.strictSame([late.status, challengeIn(late)?.error], [401, 'invalid_token'], 'the next one needs another')
  const renewed = withToken(send, await ask('alice', 'repository:team/app:pull,push'))
  told(t, await renewed.close(location, digestOf(bytes)), 201, {}, 'with which the push goes on where it was')
})

t.test('replicas know each other’s tokens, and the keys are replaced', async t => {
  let now = Date.UTC(2026, 5)
  const storage = createMemory({ now: () => now })
  const one = await open(t, { storage, now: () => now })
  const settings = { access: one.access, now: () => now }
  const two = await one.peer(settings)
  const keys = () => keysIn(storage, 'system/token-keys/')
  const askTwo = askOf(two.send)
  const tokens = await Promise.all([one.ask('alice'), askTwo('alice'), one.ask('alice'), askTwo('alice')])
  t.strictSame(await keys(), ['system/token-keys/00000001'], 'one key, though several asked at once')
  const good = async (what: string, ...answers: Answer[]) => {
    for (const answer of answers) {
      for (const { send } of [one, two]) told(t, await withToken(send, answer).get('/v2/'), 200, {}, what)
    }
  }
  await good('each takes the tokens of both', ...tokens)

  now += 31 * DAY
  const old = await one.ask('alice')
  t.equal((await keys()).length, 2, 'there is a new key')
  await good('the old key is used until all know the new one', old)
  now += 11 * 60_000
  const fresh = await one.ask('alice')
  const kid = (answer: Answer) => Buffer.from(String(parse(answer).token).split('.')[0]!, 'base64url').toString()
  t.not(kid(fresh), kid(old))
  await good('the new key', fresh, await askTwo('alice'))
  now += HOUR
  await good('the new key alone', await one.ask('alice'))
  t.strictSame(await keys(), ['system/token-keys/00000002'])
  const third = await one.peer(settings)
  told(t, await withToken(third.send, await one.ask('alice')).get('/v2/'), 200, {}, 'a process that came later')
  refused(
    t,
    await withToken(
      (await openRegistry(t, createMemory({ now: () => now }), settings)).send,
      await one.ask('alice')
    ).get('/v2/'),
    401,
    'UNAUTHORIZED',
    'another store'
  )
})

t.test('15.16: where nothing can be written any more, the keys that are there go on being used', async t => {
  let [now, writes] = [Date.UTC(2026, 5), true]
  const memory = createMemory({ now: () => now })
  const barred = async () => {
    throw new StorageError('unavailable', 'EROFS: read-only file system')
  }
  const storage: StorageDriver = {
    ...memory,
    put: (...args) => (writes ? memory.put(...args) : barred()),
    delete: (...args) => (writes ? memory.delete(...args) : barred())
  }
  const settings = { storage, now: () => now }
  told(t, await (await open(t, settings)).ask('alice'), 200, {}, 'a key is made')
  for (const wait of [31 * DAY, 31 * DAY + 11 * 60_000]) {
    now += wait
    writes = false
    const { ask, send } = await open(t, { ...settings, readOnly: true })
    const answer = await ask('alice')
    told(t, answer, 200, {}, 'a token')
    told(t, await withToken(send, answer).get('/v2/'), 200, {}, 'which is good')
    writes = true
    told(t, await (await open(t, settings)).ask('alice'), 200, {}, 'another process replaces the key')
  }
  now += HOUR
  writes = false
  told(t, await (await open(t, { ...settings, readOnly: true })).ask('alice'), 200, {}, 'spent keys stay')
})

t.test('where clients find the endpoint', async t => {
  const access = await accessOf(t, undefined)
  const realm = async (settings: Settings, headers: Record<string, string>) => {
    const { send } = await openRegistry(t, createMemory(), { access, ...settings })
    return challengeIn(await send('GET', '/v2/', { headers }))?.realm
  }
  const host = { host: 'registry.local:5000' }
  const forwarded = {
    ...host,
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'r.example.com',
    'x-forwarded-for': '10.0.0.1'
  }
  t.equal(await realm({}, host), 'http://registry.local:5000/v2/token')
  t.equal(await realm({}, forwarded), 'http://registry.local:5000/v2/token', 'headers of strangers')
  t.equal(await realm({ trustProxy: true }, forwarded), 'https://r.example.com/v2/token')
  t.equal(
    await realm({ trustProxy: true }, { ...forwarded, 'x-forwarded-prefix': '/oci' }),
    'https://r.example.com/oci/v2/token'
  )
  t.equal(await realm({ externalUrl: 'https://r.example.com/oci' }, host), 'https://r.example.com/oci/v2/token')
  const tokens = { ...TOKENS, realm: 'https://other.example.com/t' }
  t.equal(await realm({ access: { ...access, tokens } }, host), 'https://other.example.com/t')
})

t.test('15.32: of what proxies say one after the other, the outermost trusted one counts', async t => {
  const access = await accessOf(t, undefined)
  const realm = async (trustProxy: Settings['trustProxy'], headers: Record<string, string>) => {
    const { send } = await openRegistry(t, createMemory(), { access, ...(trustProxy !== undefined && { trustProxy }) })
    return challengeIn(await send('GET', '/v2/', { headers: { host: 'inner', ...headers } }))?.realm
  }
  const both = { 'x-forwarded-proto': 'https, http', 'x-forwarded-host': 'r.example.com, inner:5000' }
  const at = (origin: string) => `${origin}/v2/token`
  for (const trust of [true, ['127.0.0.1'], ['loopback', '10.0.0.0/8']]) {
    t.equal(await realm(trust, both), at('https://r.example.com'), `${trust}: nobody says who`)
    const one = { ...both, 'x-forwarded-for': '192.0.2.7' }
    t.equal(await realm(trust, one), at('https://r.example.com'), `${trust}: one says who`)
  }
  const chain = { ...both, 'x-forwarded-for': '192.0.2.7, 10.0.0.2' }
  t.equal(await realm(['loopback', '10.0.0.0/8'], chain), at('https://r.example.com'), 'two trusted proxies')
  t.equal(await realm(['loopback'], chain), at('http://inner:5000'), 'the outer one is not trusted')
  t.equal(await realm(['10.0.0.0/8'], chain), at('http://inner'), 'nor is the one that connects')
  t.equal(await realm(undefined, chain), at('http://inner'), 'no proxy is trusted')
  const made = { 'x-forwarded-proto': 'http, https', 'x-forwarded-for': '10.9.9.9, 192.0.2.7' }
  t.equal(await realm(['loopback'], made), at('https://inner'), 'what the client made up before')
  t.equal(await realm(true, { 'x-forwarded-proto': ' HTTPS ,http' }), at('https://inner'), 'spaces and case')
})

t.test('15.18: what is no scheme and no host reaches no realm', async t => {
  const access = await accessOf(t, undefined)
  const { send } = await openRegistry(t, createMemory(), { access, trustProxy: true })
  const challenge = async (headers: Record<string, string>) =>
    (await send('GET', '/v2/', { headers: { host: 'inner', ...headers } })).headers['www-authenticate']
  for (const host of ['evil.example/x', 'user@evil.example', 'a"b', 'a b', 'evil.example#', 'h:port', '[::1', '']) {
    t.match(await challenge({ 'x-forwarded-host': host }), /^Bearer realm="http:\/\/inner\/v2\/token"/, host)
  }
  for (const proto of ['javascript', 'https://evil.example/', 'ftp', 'https"', '']) {
    t.match(await challenge({ 'x-forwarded-proto': proto }), /^Bearer realm="http:\/\/inner\/v2\/token"/, proto)
  }
  for (const host of ['r.example.com:8443', '[2001:db8::1]:5000', '192.0.2.1']) {
    t.match(await challenge({ 'x-forwarded-host': host }), `Bearer realm="http://${host}/v2/token"`, host)
  }
  t.match(await challenge({ host: 'a(b' }), /^Basic /, 'no host that is one')
})

t.test('15.18: a scope of what can be no repository is not granted', async t => {
  const access = await accessOf(t, OPEN)
  const { send } = await openRegistry(t, createMemory(), { access })
  const names = ['team/../app', 'Team/app', 'team//app', '/team/app', 'team/app/', `team/${'a'.repeat(300)}`, 'team/*']
  const scope = [...names, 'team/app'].map(name => `repository:${name}:pull`).join(' ')
  const query = new URLSearchParams({ scope })
  const answer = await send('GET', `/v2/token?${query}`, { headers: basic('alice', passwordOf('alice')) })
  t.equal(parse(answer).scope, 'repository:team/app:pull')
})

t.test('robots get tokens too, for what they may at most', async t => {
  const storage = createMemory()
  const secret = makeToken()
  const robot = { name: 'ci', repositories: ['robots/*'], actions: ['pull' as const, 'push' as const], created: 0 }
  await createRobots(storage).create(hashOf(secret), robot)
  const access = { ...(await accessOf(t, OPEN)), robots: true }
  const events: Record<string, unknown>[] = []
  const { send } = await openRegistry(t, storage, { access, onLog: line => line.audit && events.push(line) })
  const scope = new URLSearchParams({ scope: 'repository:robots/a:* repository:team/app:pull' })
  const answer = await send('GET', `/v2/token?${scope}`, { headers: basic('ci', secret) })
  t.equal(parse(answer).scope, 'repository:robots/a:pull,push')
  const client = withToken(send, answer)
  await client.pushImage('robots/a', 'v1')
  t.match(challengeIn(await client.get('/v2/robots/b/tags/list')), { error: 'insufficient_scope' })
  refused(t, await client.get('/v2/team/app/tags/list'), 403, 'DENIED', 'what another token would not help with')
  t.match(events[0], { event: 'login', outcome: 'done', user: 'token:ci' })
  t.match(events.at(-1), { event: 'tags.list', outcome: 'denied', user: 'token:ci', repository: 'team/app' })
})

/** A client that keeps a refresh token in place of a password, as docker and containerd do. */
const postOf = (send: Send) => (form: Record<string, string>) =>
  send('POST', '/v2/token', {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(new URLSearchParams({ service: TOKENS.service, client_id: 'docker', ...form }).toString())
  })
const refreshIn = (answer: Answer): string | undefined => {
  const { refresh_token } = parse(answer) as { refresh_token?: string }
  if (refresh_token !== undefined) keepSecret(refresh_token)
  return refresh_token
}

t.test('15.31: refresh tokens can be used again, until the password is another one or their time is over', async t => {
  let now = Date.UTC(2026, 5)
  const clock = { now: () => now }
  const access = await accessOf(t, OPEN, { ...TOKENS, refreshLifetimeMs: 10 * DAY })
  const events: Record<string, unknown>[] = []
  const onLog = (line: Record<string, unknown>) => line.audit && events.push(line)
  const storage = createMemory(clock)
  const { send, peer } = await openRegistry(t, storage, { access, ...clock, onLog })
  const replica = await peer({ access, ...clock })
  const [ask, post] = [askOf(send), postOf(send)]
  const password = { grant_type: 'password', username: 'alice', password: passwordOf('alice') }
  const scope = 'repository:team/a:pull,push'

  const byGet = refreshIn(await ask('alice'))!
  const byPost = refreshIn(await post({ ...password, access_type: 'offline' }))!
  t.ok(byGet && byPost)
  t.equal(refreshIn(await post(password)), undefined, 'nobody asked for one')
  t.equal(refreshIn(await send('GET', '/v2/token', { headers: basic('alice', passwordOf('alice')) })), undefined)
  t.equal(refreshIn(await ask(undefined, 'repository:public/a:pull')), undefined, 'who has not logged in')

  const use = (refresh: string, at: Send = send) =>
    postOf(at)({ grant_type: 'refresh_token', refresh_token: refresh, scope })
  for (const refresh of [byGet, byPost, byGet]) {
    const answer = await use(refresh)
    t.match(parse(answer), { scope, expires_in: 300, refresh_token: undefined })
    await withToken(send, answer).pushImage('team/a', 'v1')
  }
  t.match(parse(await use(byGet, replica.send)), { scope }, 'every replica takes it')
  t.match(events.at(-1), { user: 'alice' })
  const secret = await post({ grant_type: 'refresh_token', refresh_token: byGet, scope: 'repository:secret:pull' })
  t.equal(parse(secret).scope, '', 'the policy decides each time')
  const again = refreshIn(await post({ grant_type: 'refresh_token', refresh_token: byGet, access_type: 'offline' }))!
  t.equal(claimsOf(again).exp, claimsOf(byGet).exp, 'one that was got with another lasts no longer')

  const bearer = { authorization: `Bearer ${byGet}` }
  told(t, await send('GET', '/v2/', { headers: bearer }), 401, {}, 'it is no bearer token')
  const token = String(parse(await ask('alice', scope)).token)
  for (const [what, wrong] of Object.entries({
    'a bearer token': token,
    'a forged one': `${byGet.slice(0, -4)}AAAA`,
    'an unsigned one': `${Buffer.from('{"alg":"none"}').toString('base64url')}.${byGet.split('.')[1]}.`,
    nonsense: 'x',
    nothing: ''
  })) {
    told(t, await use(wrong), 401, { 'www-authenticate': BASIC }, what)
  }

  writeFileSync(access.htpasswdFile, `${await htpasswdOf('owner')}alice:${await hashPassword('another', 4)}\n`)
  for (let tries = 0; tries < 100 && (await use(byGet)).status === 200; tries++) {
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  told(t, await use(byGet), 401, { 'www-authenticate': BASIC }, 'alice has another password')
  const owner = refreshIn(await ask('owner'))!
  now += 10 * DAY - 1000
  told(t, await use(owner), 200, {}, 'until the last moment')
  now += 1000
  told(t, await use(owner), 401, {}, 'its time is over')
})

t.test('15.31: a refresh token is good no longer than the robot or the ID token that it was got with', async t => {
  let now = Date.UTC(2026, 5)
  const clock = { now: () => now }
  const issuer = await openIdIssuer(clock.now)
  t.teardown(() => issuer.close())
  const oidc = `issuers:
  - {issuer: '${issuer.url}', audience: registry.example.com, user: 'job:{repository}', required: {repository: acme/*}}`
  const folder = t.testdir({ oidc, policy: "rules: [{users: ['*'], repositories: ['**'], actions: [pull]}]" })
  const access = {
    policyFile: join(folder, 'policy'),
    anonymous: 'none' as const,
    robots: true,
    oidc: { file: join(folder, 'oidc'), leewayMs: 60_000 },
    tokens: { ...TOKENS, refreshLifetimeMs: 10 * DAY }
  }
  const storage = createMemory(clock)
  const robots = createRobots(storage)
  const rights = { repositories: ['robots/*'], actions: ['push' as const], created: now }
  const [revoked, short] = [makeToken(), makeToken()]
  await robots.create(hashOf(revoked), { name: 'revoked', ...rights })
  await robots.create(hashOf(short), { name: 'short', ...rights, expires: now + HOUR })
  const { send } = await openRegistry(t, storage, { access, ...clock })
  const get = async (password: string) =>
    refreshIn(await send('GET', '/v2/token?offline_token=true', { headers: basic('u', password) }))!
  const use = (refresh: string) =>
    postOf(send)({ grant_type: 'refresh_token', refresh_token: refresh, scope: 'repository:robots/a:pull,push' })
  const [first, second, job] = [await get(revoked), await get(short), await get(await issuer.token(jobs.github))]
  t.strictSame(
    [parse(await use(first)).scope, parse(await use(second)).scope, parse(await use(job)).scope],
    ['repository:robots/a:push', 'repository:robots/a:push', 'repository:robots/a:pull']
  )
  await robots.revoke('revoked')
  now += 10_000
  told(t, await use(first), 401, {}, 'a robot that was revoked')
  now += 290_000
  told(t, await use(job), 401, {}, 'an ID token that has ended')
  told(t, await use(second), 200, {}, 'a robot')
  now += HOUR - 300_000
  told(t, await use(second), 401, {}, 'a robot whose time is over')

  const without = await openRegistry(t, createMemory(), { access: { ...access, tokens: TOKENS }, ...clock })
  const answer = await postOf(without.send)({ grant_type: 'refresh_token', refresh_token: first })
  told(t, answer, 401, {}, 'where there are none')
})

t.test('15.31: docker pulls without a login where all may pull, and logs in once to push', async t => {
  const folder = t.testdir({})
  const env = { AUTH_HTPASSWD_FILE: join(folder, 'users'), AUTH_ANONYMOUS: 'pull', PORT: '0' }
  writeFileSync(env.AUTH_HTPASSWD_FILE, await htpasswdOf('alice'))
  const { access } = loadConfig(env)
  const lines: string[] = []
  const { app, wire } = await openRegistry(t, createMemory(), { access, onLog: line => lines.push(String(line.msg)) })
  const { send } = await wire()
  const { port } = app.server.address() as AddressInfo
  t.ok(
    lines.some(line => /^AUTH_TOKEN_ISSUER is not set: .* EXTERNAL_URL/.test(line)),
    'the log says so'
  )
  const realm = `http://localhost:${port}/v2/token`

  // As docker does it: the base first, then a token of nobody's for what it wants, then that.
  const asked = challengeIn(await send('GET', '/v2/'))!
  t.strictSame(asked, { realm, service: 'marina-distribution' })
  const tokenOf = async (query: string, headers = {}) =>
    parse(await send('GET', `/v2/token?service=${asked.service}&${query}`, { headers }))
  const { token: nobodys } = await tokenOf('scope=repository:team/app:pull')
  const docker = withHeaders(send, { authorization: `Bearer ${nobodys}` })
  told(t, await docker.get('/v2/team/app/manifests/v1'), 404, {}, 'a pull without a login')

  const login = await tokenOf('account=alice&client_id=docker&offline_token=true', basic('alice', passwordOf('alice')))
  told(t, await withHeaders(send, { authorization: `Bearer ${login.token}` }).get('/v2/'), 200, {}, 'docker login')
  const identity = String(login.refresh_token)
  keepSecret(identity)
  const pushing = createClient(
    withTokens(send, async ({ scope = '' }) =>
      String(parse(await postOf(send)({ grant_type: 'refresh_token', refresh_token: identity, scope })).access_token)
    )
  )
  await pushing.pushImage('team/app', 'v1')
  told(t, await docker.get('/v2/team/app/manifests/v1'), 200, {}, 'the image, without a login')
  await clientOf(send, 'alice').pushImage('team/app', 'v2')

  const proxied = [{ 'x-forwarded-for': '192.0.2.1' }, { via: '1.1 proxy' }, { host: 'registry.example.com' }]
  for (const headers of proxied) {
    const answer = await send('GET', '/v2/', { headers })
    told(t, answer, 401, { 'www-authenticate': BASIC }, `behind a proxy: ${Object.keys(headers)}`)
  }
  const trusting = await openRegistry(t, createMemory(), { access, trustProxy: true })
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'r.example.com', 'x-forwarded-for': '192.0.2.1' }
  t.match(challengeIn(await trusting.send('GET', '/v2/', { headers })), { realm: 'https://r.example.com/v2/token' })
  const external = await openRegistry(t, createMemory(), { access, externalUrl: 'https://r.example.com' })
  t.match(challengeIn(await external.send('GET', '/v2/')), { realm: 'https://r.example.com/v2/token' })
})

t.test('15.37: a mount with a token that does not let pull its source', async t => {
  const policy = `${OPEN}  - {users: [alice], repositories: [base/**], actions: [pull]}
`
  const { ask, send } = await open(t, { policy })
  const owner = clientOf(send, 'owner')
  const bytes = random(30)
  const digest = await owner.pushBlob('base/os', bytes)
  await owner.pushBlob('secret/app', bytes)
  await owner.pushBlob('public/app', bytes)
  const mount = (from: string) => `/v2/team/app/blobs/uploads/?mount=${digest}${from}`
  const narrow = withToken(send, await ask('alice', 'repository:team/app:pull,push'))

  const refusal = await narrow.send('POST', mount('&from=base/os'))
  t.match(challengeIn(refusal), {
    scope: 'repository:team/app:pull,push repository:base/os:pull',
    error: 'insufficient_scope'
  })
  const another = challengeIn(await narrow.send('POST', mount('&from=public/app')))
  t.match(another, { error: 'insufficient_scope' }, 'what is open to all')
  for (const [from, what] of [
    ['&from=secret/app', 'what no token would let pull'],
    ['&from=base/none', 'a source that is not there'],
    ['&from=team/app', 'the repository itself'],
    ['', 'no source'],
    ['&from=', 'no source']
  ] as const) {
    const wide = withToken(send, await ask('alice', 'repository:team/app:pull,push', 'repository:base/none:pull'))
    told(t, await wide.send('POST', mount(from)), 202, {}, what)
  }
  told(t, await clientOf(send, 'alice').send('POST', mount('&from=base/os')), 201, {}, 'with a password')
  told(t, await dockerOf(send, 'alice').send('POST', mount('&from=base/os')), 201, {}, 'a client that heeds the answer')
  refused(t, await narrow.send('POST', mount('&from=Base')), 400, 'NAME_INVALID', 'what is no name')
})

t.test('15.7: a token ends no later than the robot or the ID token that it was got with', async t => {
  let now = Date.UTC(2026, 5)
  const clock = { now: () => now }
  const issuer = await openIdIssuer(clock.now)
  t.teardown(() => issuer.close())
  const oidc = `issuers:
  - {issuer: '${issuer.url}', audience: registry.example.com, user: 'job:{repository}', required: {repository: acme/*}}`
  const policy = "rules: [{users: ['*'], repositories: ['**'], actions: ['*']}]"
  const folder = t.testdir({ oidc, policy })
  const tokens = { ...TOKENS, lifetimeMs: DAY, leewayMs: 60_000 }
  const access = {
    policyFile: join(folder, 'policy'),
    anonymous: 'none' as const,
    robots: true,
    oidc: { file: join(folder, 'oidc'), leewayMs: 60_000 },
    tokens
  }
  const storage = createMemory(clock)
  const [short, endless] = [makeToken(), makeToken()]
  const robot = { repositories: ['**'], actions: ['pull' as const, 'push' as const], created: now }
  await createRobots(storage).create(hashOf(short), { name: 'short', ...robot, expires: now + 60_500 })
  await createRobots(storage).create(hashOf(endless), { name: 'endless', ...robot })
  const { send } = await openRegistry(t, storage, { access, ...clock })
  const get = (password: string) => send('GET', '/v2/token?scope=repository:a:*', { headers: basic('u', password) })
  const [ofShort, ofEndless] = [await get(short), await get(endless)]
  const job = await issuer.token(jobs.github) // for 300 s
  const ofJob = await get(job)
  const statuses = async () =>
    Promise.all(
      [ofShort, ofJob, ofEndless].map(async answer => (await withToken(send, answer).get('/v2/a/tags/list')).status)
    )
  t.strictSame(
    [ofShort, ofJob, ofEndless].map(answer => parse(answer).expires_in),
    [60, 300, DAY / 1000]
  )
  t.equal(claimsOf(parse(ofShort).token).exp, Math.floor(now / 1000) + 60)
  t.strictSame(await statuses(), [404, 404, 404])
  now += 60_500
  t.strictSame(await statuses(), [401, 404, 404], 'no leeway lengthens the life of a robot')
  now += 239_500
  t.strictSame(await statuses(), [401, 401, 404])
  told(t, await get(job), 401, {}, 'an ID token that is taken for the leeway alone gets none')
})

t.test('the audit log has each login, and each that failed', async t => {
  const events: Record<string, unknown>[] = []
  const access = await accessOf(t, OPEN)
  const { send } = await openRegistry(t, createMemory(), { access, onLog: line => line.audit && events.push(line) })
  const form = (password: string) => Buffer.from(`grant_type=password&username=alice&password=${password}`)
  await send('GET', '/v2/token', {})
  t.strictSame(events, [], 'a token for anybody is no login')
  await send('GET', '/v2/token', { headers: basic('alice', passwordOf('alice')) })
  await send('GET', '/v2/token', { headers: basic('alice', 'wrong') })
  await send('POST', '/v2/token', { body: form(passwordOf('alice')) })
  await send('POST', '/v2/token', { body: form('wrong') })
  t.match(
    events.map(({ event, outcome, user }) => `${event} ${outcome} ${user}`),
    ['login done alice', 'login denied alice', 'login done alice', 'login denied alice']
  )
})
