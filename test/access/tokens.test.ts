import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { grantsOf, parseScopes, scopeText } from '../../src/access/scope.ts'
import type { AccessSettings } from '../../src/config/access.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf, passwordOf, withHeaders } from '../support/callers.ts'
import { createClient } from '../support/client.ts'
import { random } from '../support/images.ts'
import { issuers, REALM, SERVICE, type TokenIssuer } from '../support/issuers.ts'
import { openRegistry, type Settings } from '../support/registry.ts'
import { withTokens } from '../support/tokens.ts'

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const challenge = (scope?: string, error?: string) => ({
  'www-authenticate': `Bearer realm="${REALM}",service="${SERVICE}"${scope ? `,scope="${scope}"` : ''}${error ? `,error="${error}"` : ''}`
})

async function open(t: Test, issuer: TokenIssuer, access: Partial<AccessSettings> = {}, more: Settings = {}) {
  const settings = { anonymous: 'none' as const, tokens: issuer.settings, ...access }
  const registry = await openRegistry(t, createMemory(), { access: settings, now: issuer.now, ...more })
  /** A client for which the issuer grants all that is asked for, below these names. */
  const client = (user: string | undefined, ...prefixes: string[]) =>
    createClient(
      withTokens(registry.send, async ({ scope = '' }) =>
        issuer.token(
          user,
          parseScopes([scope]).filter(
            ({ type, name }) => type === 'registry' || prefixes.some(at => name.startsWith(at))
          )
        )
      )
    )
  return { ...registry, client }
}

for (const [name, make] of Object.entries(issuers)) {
  t.test(`pushes and pulls with tokens as ${name} issues them`, async t => {
    const issuer = make(t.testdir(), Date.now)
    const { send, client } = await open(t, issuer)
    const alice = client('alice', 'team/')
    const { digest } = await alice.pushImage('team/app', 'v1')
    t.strictSame(await alice.tags('team/app'), ['v1'])
    told(t, await alice.getManifest('team/app', digest), 200, {}, 'a manifest')
    told(t, await alice.get('/v2/'), 200, {}, 'the base')
    told(t, await alice.get('/v2/_catalog'), 200, {}, 'the catalog')
    told(
      t,
      await alice.get('/v2/other/tags/list'),
      401,
      challenge('repository:other:pull', 'insufficient_scope'),
      'another'
    )
    told(t, await alice.del(`/v2/team/app/manifests/${digest}`), 202, {}, 'a deletion')
    t.strictSame(await client(undefined, 'team/').tags('team/app'), [], 'a token of nobody in particular')
    told(t, await send('GET', '/v2/team/app/tags/list'), 401, challenge('repository:team/app:pull'), 'no token')
  })
}

t.test('each request is told the scope that it needs', async t => {
  const { send } = await open(t, issuers.Keycloak(t.testdir(), Date.now))
  const digest = `sha256:${'0'.repeat(64)}`
  const cases: [method: string, path: string, scope: string | undefined][] = [
    ['GET', '/v2/', undefined],
    ['GET', '/v2/_catalog', 'registry:catalog:*'],
    ['GET', '/v2/a/b/tags/list', 'repository:a/b:pull'],
    ['HEAD', '/v2/a/b/manifests/v1', 'repository:a/b:pull'],
    ['GET', `/v2/a/b/blobs/${digest}`, 'repository:a/b:pull'],
    ['GET', `/v2/a/b/referrers/${digest}`, 'repository:a/b:pull'],
    ['PUT', '/v2/a/b/manifests/v1', 'repository:a/b:pull,push'],
    ['POST', '/v2/a/b/blobs/uploads/', 'repository:a/b:pull,push'],
    ['POST', `/v2/a/b/blobs/uploads/?mount=${digest}&from=c/d`, 'repository:a/b:pull,push repository:c/d:pull'],
    ['POST', `/v2/a/b/blobs/uploads/?mount=${digest}&from=C"d`, 'repository:a/b:pull,push'],
    ['PATCH', '/v2/a/b/blobs/uploads/x', 'repository:a/b:pull,push'],
    ['DELETE', '/v2/a/b/blobs/uploads/x', 'repository:a/b:pull,push'],
    ['DELETE', '/v2/a/b/manifests/v1', 'repository:a/b:delete'],
    ['DELETE', `/v2/a/b/blobs/${digest}`, 'repository:a/b:delete'],
    ['GET', '/v2/a%2Fb/tags/list', 'repository:a/b:pull']
  ]
  for (const [method, path, scope] of cases) {
    told(t, await send(method, path), 401, challenge(scope), `${method} ${path}`)
  }
  for (const path of ['/v2/a"b/tags/list', '/v2/A%22,error=/tags/list']) {
    told(t, await send('GET', path), 400, { 'www-authenticate': undefined }, path)
  }
})

t.test('a token decides alone, or together with a policy', async t => {
  const issuer = issuers.Keycloak(t.testdir({ keys: {} }), Date.now)
  const policyFile = join(t.testdirName, 'policy.yaml')
  writeFileSync(policyFile, 'rules:\n- {users: [alice], repositories: [team/**], actions: [pull, push]}')
  const { client, send } = await open(t, issuer, { policyFile })
  await client('alice', '').pushImage('team/app', 'v1')
  refused(t, await client('alice', '').get('/v2/other/tags/list'), 403, 'DENIED', 'granted, and no rule')
  refused(t, await client('bob', '').get('/v2/team/app/tags/list'), 403, 'DENIED', 'granted, and no rule for this user')
  const narrow = withHeaders(send, bearer(await issuer.token('alice', [])))
  const scope = challenge('repository:team/app:pull', 'insufficient_scope')
  told(t, await narrow.get('/v2/team/app/tags/list'), 401, scope, 'a rule, and not granted')
})

t.test('passwords are taken beside tokens, and anybody may read where that is open', async t => {
  const issuer = issuers.Keycloak(t.testdir({}), Date.now)
  const htpasswdFile = join(t.testdirName, 'users')
  writeFileSync(htpasswdFile, await htpasswdOf('robot'))
  const { send, client } = await open(t, issuer, { htpasswdFile, anonymous: 'pull' })
  await clientOf(send, 'robot').pushImage('team/app', 'v1')
  t.strictSame(await createClient(send).tags('team/app'), ['v1'])
  t.strictSame(await client('alice', 'team/').tags('team/app'), ['v1'])
  const answer = await withHeaders(send, basic('robot', 'wrong')).get('/v2/')
  told(t, answer, 401, challenge(), 'a wrong password')
  told(t, await withHeaders(send, basic('robot', passwordOf('robot'))).get('/v2/'), 200, {}, 'the right one')
})

t.test('what a token grants, also for mounts and the catalog', async t => {
  const issuer = issuers.docker_auth(t.testdir(), Date.now)
  const { send, client } = await open(t, issuer)
  const owner = client('owner', '')
  const digest = await owner.pushBlob('secret/app', random(30))
  await owner.pushBlob('open/app', random(30))
  const withAccess = async (...scopes: string[]) =>
    withHeaders(send, bearer(await issuer.token('alice', parseScopes(scopes))))
  const mount = (to: string, from?: string) => `/v2/${to}/blobs/uploads/?mount=${digest}${from ? `&from=${from}` : ''}`

  const pusher = await withAccess('repository:open/app:pull,push')
  told(t, await pusher.send('POST', mount('open/app', 'secret/app')), 202, {}, 'a source that the token is not for')
  told(t, await pusher.send('POST', mount('open/app')), 202, {}, 'without a source')
  const both = await withAccess('repository:open/app:pull,push', 'repository:secret/app:pull')
  told(t, await both.send('POST', mount('open/app', 'secret/app')), 201, {}, 'a source that it is for')
  const all = await withAccess('repository:open/app:*')
  told(t, await all.del(`/v2/open/app/blobs/${digest}`), 202, {}, '`*` is every action')
  const scope = challenge('repository:open/app:delete', 'insufficient_scope')
  told(t, await both.del(`/v2/open/app/blobs/${digest}`), 401, scope, 'another action')

  const lister = await withAccess('registry:catalog:*')
  const { body } = await lister.get('/v2/_catalog')
  t.strictSame(JSON.parse(body.toString()).repositories, ['open/app', 'secret/app'], 'the catalog is one thing')
  told(t, await both.get('/v2/_catalog'), 401, challenge('registry:catalog:*', 'insufficient_scope'), 'not granted')
})

t.test('keys at a URL: a new one is looked for, though not for each token', async t => {
  const [first, second] = ['a', 'b'].map(name => issuers.Keycloak(join(t.testdirName, name), () => now)) as [
    TokenIssuer,
    TokenIssuer
  ]
  let [now, asked, answering] = [Date.now(), 0, true]
  let current = first
  const server = createServer((_request, response) => {
    asked++
    response.writeHead(answering ? 200 : 500, { 'content-type': 'application/json' })
    response.end(readFileSync(current.settings.jwks!))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const jwks = `http://127.0.0.1:${(server.address() as AddressInfo).port}/certs`
  first.settings = { ...first.settings, jwks }
  const { send } = await open(t, { ...first, now: () => now })
  first.settings.jwks = join(t.testdirName, 'a', 'certs.json')
  const statusWith = async (issuer: TokenIssuer) =>
    (await send('GET', '/v2/', { headers: bearer(await issuer.token('alice', [])) })).status

  answering = false
  refused(t, await send('GET', '/v2/', { headers: bearer('e.e.e') }), 401, 'UNAUTHORIZED', 'no token at all')
  t.equal(await statusWith(first), 503, 'an issuer that has never answered is a fault, not a wrong token')
  answering = true
  now += 2000
  t.equal(await statusWith(first), 200)
  asked = 0
  for (let tries = 0; tries < 20; tries++) t.equal(await statusWith(second), 401, 'an unknown key')
  t.equal(asked, 0, 'it was asked a moment ago')
  current = second
  now += 31_000
  t.equal(await statusWith(second), 200, 'a key that is new there')
  t.equal(await statusWith(first), 401, 'the old one is gone, also for tokens that were good before')
  t.equal(asked, 1)
  answering = false
  now += 11 * 60_000
  t.equal(await statusWith(second), 200, 'while it is away, what it said before counts')
})

t.test('keys in a file: read again when it changes', async t => {
  const issuer = issuers.Keycloak(t.testdir(), Date.now)
  const next = issuers.Keycloak(join(t.testdirName, 'next'), Date.now)
  const { send } = await open(t, issuer)
  const statusWith = async (from: TokenIssuer) =>
    (await send('GET', '/v2/', { headers: bearer(await from.token('alice', [])) })).status
  t.strictSame([await statusWith(issuer), await statusWith(next)], [200, 401])
  copyFileSync(next.settings.jwks!, issuer.settings.jwks!)
  for (let tries = 0; tries < 100 && (await statusWith(next)) !== 200; tries++) await sleep(100)
  t.strictSame([await statusWith(issuer), await statusWith(next)], [401, 200])
})

t.test('scopes are read as they are written', async t => {
  const repository = fc.stringMatching(/^[a-z0-9]{1,9}(?:[/._-][a-z0-9]{1,9}){0,4}$/)
  const other = fc.stringMatching(/^[a-z0-9]+(?:[:/._-][a-z0-9]+){0,4}$/)
  const actions = fc.uniqueArray(fc.constantFrom('pull', 'push', 'delete', '*'), { minLength: 1 })
  const access = fc.oneof(
    fc.record({ type: fc.constant('repository'), name: repository, actions }, { noNullPrototype: true }),
    fc.record({ type: fc.constant('registry'), name: other, actions }, { noNullPrototype: true })
  )
  fc.assert(fc.property(fc.array(access), list => t.strictSame(parseScopes([list.map(scopeText).join(' ')]), list)))
  t.strictSame(parseScopes(['', 'nonsense', 'repository:a', ':a:pull', 'repository::pull', ' repository:a: ']), [
    { type: 'repository', name: 'a', actions: [] }
  ])
  t.strictSame(parseScopes(['repository(plugin):a:pull']), [{ type: 'repository', name: 'a', actions: ['pull'] }])
  for (const claim of [
    undefined,
    null,
    'x',
    {},
    [null, 1, 'repository:a:pull', {}, { type: 'repository', name: 'a' }]
  ]) {
    t.notOk(grantsOf(claim).allows('pull', 'a') || grantsOf(claim).catalog, JSON.stringify(claim))
  }
  fc.assert(fc.property(fc.anything(), claim => void grantsOf(claim).allows('pull', 'a')))
})
