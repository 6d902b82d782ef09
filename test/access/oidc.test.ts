import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { JWTPayload } from 'jose'
import t, { type Test } from 'tap'
import { claimsMatcherOf, claimsOf, expandTemplate } from '../../src/access/claims.ts'
import { parseOidc } from '../../src/access/oidc-file.ts'
import { loadConfig } from '../../src/config.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { basic, clientOf, htpasswdOf, withHeaders } from '../support/callers.ts'
import { parse } from '../support/client.ts'
import { jobs, openIdIssuer } from '../support/oidc.ts'
import { openRegistry } from '../support/registry.ts'
import { keepSecret } from '../support/secrets.ts'

const FILE = (url: string) => `
issuers:
  - issuer: ${url}
    audience: registry.example.com
    user: github:{repository}
    groups: ['github:{repository_owner}']
    required: {repository_owner: acme, ref: [refs/heads/main, 'refs/tags/*']}
  - issuer: ${url}
    audience: registry.example.com
    user: gitlab:{project_path}
    groups: ['gitlab:{groups_direct}']
    required: {project_path: 'acme/**', ref_protected: 'true'}
  - issuer: ${url}
    audience: registry.example.com
    user: k8s:{kubernetes.io/namespace}/{kubernetes.io/serviceaccount/name}
    required: {kubernetes.io/namespace: build}
`
const POLICY = (url: string) => `
groups:
  releasers: ['github:acme/app', owner]
rules:
  - {groups: [releasers], repositories: [app/**], actions: [pull, push]}
  - {groups: ['github:acme', 'gitlab:acme/ops'], repositories: [shared/**], actions: [pull]}
  - {users: ['k8s:build/pusher'], repositories: [built/**], actions: [pull, push]}
  - {claims: {iss: '${url}', workflow: release}, repositories: [releases], actions: [pull, push]}
  - {claims: {iss: 'https://other.example.com', workflow: release}, repositories: [elsewhere], actions: [pull]}
`

async function open(t: Test) {
  const clock = { now: Date.now() }
  const issuer = await openIdIssuer(() => clock.now)
  t.teardown(() => issuer.close())
  const folder = t.testdir({ oidc: FILE(issuer.url), policy: POLICY(issuer.url) })
  writeFileSync(join(folder, 'users'), await htpasswdOf('owner', 'github'))
  const access = {
    htpasswdFile: join(folder, 'users'),
    policyFile: join(folder, 'policy'),
    oidc: { file: join(folder, 'oidc'), leewayMs: 0 },
    tokens: { service: 'registry.example.com', leewayMs: 0, lifetimeMs: 600_000 },
    anonymous: 'none' as const
  }
  const { send } = await openRegistry(t, createMemory(), { access, now: () => clock.now })
  /** A job that sends its ID token with every request. */
  const job = async (claims: JWTPayload, user = 'ci') => withHeaders(send, basic(user, await issuer.token(claims)))
  const pull = async (claims: JWTPayload, name: string) =>
    (await (await job(claims)).get(`/v2/${name}/tags/list`)).status
  return { issuer, clock, send, job, pull, access }
}

t.test('a job logs in with its ID token, and the policy knows its name, groups and claims', async t => {
  const { job, send, pull } = await open(t)
  const github = await job(jobs.github, 'whatever')
  told(t, await github.get('/v2/'), 200, {}, 'the base')
  await github.pushImage('app/one', 'v1')
  await github.pushImage('releases', 'v1')
  refused(t, await github.send('POST', '/v2/shared/x/blobs/uploads/'), 403, 'DENIED', 'a group that may pull')
  refused(t, await github.get('/v2/elsewhere/tags/list'), 403, 'DENIED', 'the same claim of another issuer')
  await (await job(jobs.kubernetes)).pushImage('built/one', 'v1')
  t.strictSame(
    await Promise.all([
      pull(jobs.github, 'shared/x'),
      pull(jobs.gitlab, 'shared/x'),
      pull(jobs.kubernetes, 'shared/x')
    ]),
    [404, 404, 403]
  )
  t.equal(await pull({ ...jobs.gitlab, groups_direct: ['acme'] }, 'shared/x'), 403, 'without the group')
  t.equal(await pull({ ...jobs.github, workflow: 'test' }, 'releases'), 403, 'without the claim')
  await clientOf(send, 'owner').pushImage('app/two', 'v1')
})

t.test('15.7: with tokens, the ID token is sent once, and they end when it does', async t => {
  const { issuer, clock, send } = await open(t)
  const password = await issuer.token(jobs.github)
  const scope = 'repository:app/one:pull,push repository:releases:pull'
  const body = Buffer.from(new URLSearchParams({ grant_type: 'password', username: 'ci', password, scope }).toString())
  const answer = await send('POST', '/v2/token', { body })
  t.equal(parse(answer).scope, scope)
  keepSecret(String(parse(answer).token))
  t.equal(parse(answer).expires_in, 300)
  const client = withHeaders(send, { authorization: `Bearer ${String(parse(answer).token)}` })
  clock.now += 299_000
  await client.pushImage('app/one', 'v1')
  told(t, await client.get('/v2/releases/tags/list'), 404, {}, 'what its claims allow')
  clock.now += 1000
  refused(t, await client.get('/v2/releases/tags/list'), 401, 'UNAUTHORIZED', 'the token has ended with it')
})

t.test('what is required, and what anybody else could have', async t => {
  const { issuer, clock, pull, job, send } = await open(t)
  t.equal(await pull(jobs.github, 'app/one'), 404)
  const others: Record<string, JWTPayload> = {
    'another owner': { ...jobs.github, repository: 'evil/app', repository_owner: 'evil' },
    'another branch': { ...jobs.github, ref: 'refs/heads/feature' },
    'a tag like a path': { ...jobs.github, ref: 'refs/tags/a/b' },
    'no owner': { ...jobs.github, repository_owner: undefined },
    'an owner that is an object': { ...jobs.github, repository_owner: { acme: 'acme' } },
    'no repository': { ...jobs.github, repository: undefined },
    'several repositories': { ...jobs.github, repository: ['acme/app', 'acme/other'] },
    'another audience': { ...jobs.github, aud: 'https://github.com/acme' },
    'another issuer': { ...jobs.github, iss: 'https://token.actions.githubusercontent.com' },
    'another issuer, nearly': { ...jobs.github, iss: `${issuer.url}/` },
    expired: { ...jobs.github, exp: clock.now / 1000 - 1 },
    'not yet': { ...jobs.github, nbf: clock.now / 1000 + 30 * 24 * 3600, exp: clock.now / 1000 + 40 * 24 * 3600 },
    'a user of the password file': { ...jobs.github, repository: undefined, sub: 'owner' }
  }
  for (const [what, claims] of Object.entries(others)) {
    t.equal(await pull(claims, 'app/one'), 401, what)
    clock.now += 3600_000 // so that it does not count as guessing
  }
  const foreign = await openIdIssuer(() => clock.now)
  t.teardown(() => foreign.close())
  const forged = await foreign.token({ ...jobs.github, iss: issuer.url })
  const answer = await withHeaders(send, basic('ci', forged)).get('/v2/')
  refused(t, answer, 401, 'UNAUTHORIZED', 'a stranger’s key')
  const bearer = withHeaders(send, { authorization: `Bearer ${await issuer.token(jobs.github)}` })
  refused(t, await bearer.get('/v2/'), 401, 'UNAUTHORIZED', 'an ID token is a password and no token of ours')
  const named = await job({ ...jobs.github, repository: 'acme/app', actor: 'owner' }, 'owner')
  refused(t, await named.get('/v2/secret/tags/list'), 403, 'DENIED', 'the user name says nothing')
})

t.test('an issuer that changes its keys, is away, or says that it is another', async t => {
  const { issuer, clock, pull } = await open(t)
  issuer.lies.status = 500
  t.equal(await pull(jobs.github, 'app/one'), 503, 'away from the start')
  clock.now += 2000
  issuer.lies = { issuer: 'https://other.example.com' }
  t.equal(await pull(jobs.github, 'app/one'), 503, 'another')
  clock.now += 2000
  issuer.lies = { jwks_uri: 'http://keys.example.com/' }
  t.equal(await pull(jobs.github, 'app/one'), 503, 'keys over a way that is open to all')
  clock.now += 2000
  issuer.lies = {}
  t.equal(await pull(jobs.github, 'app/one'), 404)
  issuer.rotate()
  t.equal(await pull(jobs.github, 'app/one'), 401, 'it was asked a moment ago')
  clock.now += 31_000
  issuer.asked.length = 0
  t.equal(await pull(jobs.github, 'app/one'), 404, 'a new key')
  t.strictSame(issuer.asked, ['/.well-known/openid-configuration', '/keys'])
})

t.test('the file is read again when it changes', async t => {
  const { issuer, pull, access } = await open(t)
  t.equal(await pull(jobs.github, 'app/one'), 404)
  writeFileSync(access.oidc.file, FILE(issuer.url).replace('repository_owner: acme', 'repository_owner: nobody'))
  for (let tries = 0; tries < 100 && (await pull(jobs.github, 'app/one')) !== 401; tries++) await sleep(100)
  t.equal(await pull(jobs.github, 'app/one'), 401)
})

t.test('a file that can not be used stops the start, in one line', async t => {
  const entry = 'issuer: https://a.example.com, audience: r, user: "a:{sub}", required: {sub: x}'
  const cases: [text: string, problem: RegExp][] = [
    ['issuers: []', /^line 1: issuers can't be used;/],
    ['{}', /^line 1: the file can't be used; allowed: `issuers`|^line 1: issuers can't/],
    [`issuers:\n- {${entry}, name: x}`, /^line 2: issuers\[0\]\.name can't be used; allowed: `issuers`; in an issuer/],
    [
      `issuers:\n- {${entry.replace('https', 'http')}}`,
      /^line 2: issuers\[0\]\.issuer can't be used; allowed: the `iss`/
    ],
    [
      `issuers:\n- {${entry.replace('a:{sub}', '{sub}')}}`,
      /^line 2: issuers\[0\]\.user can't be used; allowed: a name/
    ],
    [`issuers:\n- {${entry.replace('a:{sub}', 'token:{sub}')}}`, /^line 2: issuers\[0\]\.user begins with "token"/],
    [
      `issuers:\n- {${entry.replace('{sub: x}', '{}')}}`,
      /^line 2: issuers\[0\]\.required can't be used; .*one at least/
    ],
    [`issuers:\n- {${entry}, groups: [admins]}`, /^line 2: issuers\[0\]\.groups\[0\] can't be used;/],
    [`issuers:\n- {${entry}, jwks: "http://a.example.com/k"}`, /^line 2: issuers\[0\]\.jwks can't be used;/],
    [
      `issuers:\n- {${entry}}\n- {${entry.replace('//a.', '//b.')}}`,
      /^line 3: issuers\[1\]\.user begins with "a"; allowed/
    ]
  ]
  const safe = (url: URL) => url.protocol === 'https:'
  for (const [text, problem] of cases) t.throws(() => parseOidc(text, safe), { message: problem }, text)
  t.equal(
    parseOidc(`issuers:\n- {${entry}}\n- {${entry.replace('x}', 'y}')}}`, safe).length,
    2,
    'twice the same issuer'
  )
  const folder = t.testdir({
    oidc: `issuers:\n- {${entry}}`,
    keys: `issuers:\n- {${entry}, jwks: /nowhere}`,
    policy: 'rules: []'
  })
  const settings = loadConfig({ AUTH_OIDC: join(folder, 'oidc'), AUTH_POLICY_FILE: join(folder, 'policy') })
  t.match(settings.access?.oidc, { file: join(folder, 'oidc'), leewayMs: 60_000 })
  t.throws(() => loadConfig({ AUTH_OIDC_FILE: join(folder, 'oidc') }), /AUTH_POLICY_FILE is not; allowed: together/)
  t.throws(
    () => loadConfig({ AUTH_OIDC_FILE: join(folder, 'keys'), AUTH_POLICY_FILE: join(folder, 'policy') }),
    /^AUTH_OIDC_FILE is "\/nowhere": it can't be read/
  )
})

t.test('claims, patterns and templates', async t => {
  const claims = claimsOf({
    a: 'x/y',
    n: 7,
    yes: true,
    list: ['p', 'q', { no: 1 }],
    deep: { er: { est: 'z' } },
    none: null
  })
  t.match(claims, { a: ['x/y'], n: ['7'], yes: ['true'], list: ['p', 'q'], 'deep/er/est': ['z'] })
  t.strictSame(Object.keys(claims).sort(), ['a', 'deep/er/est', 'list', 'n', 'yes'])
  const meets = (patterns: Record<string, string | string[]>) => claimsMatcherOf(patterns)(claims)
  t.ok(meets({ a: 'x/*', list: ['r', 'q'] }) && meets({ a: '**' }) && meets({}))
  t.notOk(meets({ a: '*' }) || meets({ a: 'x/*', n: '8' }) || meets({ missing: '**' }) || meets({ toString: '**' }))
  t.strictSame(expandTemplate('g:{list}-{n}', claims), ['g:p-7', 'g:q-7'])
  t.strictSame(expandTemplate('g:{missing}{list}', claims), [])
  t.strictSame(expandTemplate('g:fixed', claims), ['g:fixed'])
  fc.assert(
    fc.property(fc.string(), value => {
      t.strictSame(expandTemplate('g:{c}/{c}', { c: [value] }), [`g:${value}/${value}`], 'braces in a value stay')
      t.equal(
        claimsMatcherOf({ c: value.replaceAll('*', '') || 'x' })({ c: [value] }),
        !value.includes('*') && value !== ''
      )
    })
  )
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.anything()), payload => void claimsOf(payload)))
})
