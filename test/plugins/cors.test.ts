import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { told } from '../support/answers.ts'
import { basic, htpasswdOf, passwordOf } from '../support/callers.ts'
import { endpoints } from '../support/endpoints.ts'
import { openRegistry } from '../support/registry.ts'

const ORIGIN = 'https://ui.example.com'

t.test('pages of the origins that are named may use the API; preflight comes before access control', async t => {
  const htpasswdFile = join(t.testdir({}), 'users')
  writeFileSync(htpasswdFile, await htpasswdOf('alice'))
  const access = { htpasswdFile, anonymous: 'none' as const }
  const corsOrigins = [ORIGIN, 'http://localhost:3000']
  const { send, get } = await openRegistry(t, createMemory(), { access, corsOrigins })
  const preflight = (path: string, method: string, origin = ORIGIN) =>
    send('OPTIONS', path, {
      headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization' }
    })
  const paths = [...endpoints.map(({ path }) => path('a/b')), '/v2/', '/v2/_catalog']
  for (const path of paths) {
    const answer = await preflight(path, 'DELETE')
    const headers = { 'access-control-allow-origin': ORIGIN, 'access-control-allow-headers': 'authorization' }
    told(t, answer, 204, headers, path)
    t.match(answer.headers['access-control-allow-methods'], /\bDELETE\b/)
  }
  const stranger = await preflight('/v2/', 'GET', 'https://evil.example.com')
  t.equal(stranger.headers['access-control-allow-origin'], undefined, 'another origin')

  const refusal = await get('/v2/a/b/tags/list', { origin: ORIGIN })
  told(t, refusal, 401, { 'access-control-allow-origin': ORIGIN }, 'a page can read why it was refused')
  t.match(refusal.headers['access-control-expose-headers'], /\bWWW-Authenticate\b/)
  const answer = await get('/v2/', { origin: ORIGIN, ...basic('alice', passwordOf('alice')) })
  told(t, answer, 200, { 'access-control-allow-origin': ORIGIN, 'access-control-allow-credentials': undefined }, 'base')
  for (const name of ['Docker-Content-Digest', 'Link', 'OCI-Subject', 'OCI-Filters-Applied', 'OCI-Tag']) {
    t.ok(answer.headers['access-control-expose-headers']?.includes(name), name)
  }
})

t.test('a star is for every page; without the variable there is nothing of it', async t => {
  const open = await openRegistry(t, createMemory(), { corsOrigins: ['*'] })
  told(t, await open.get('/v2/', { origin: ORIGIN }), 200, { 'access-control-allow-origin': '*' }, 'a star')
  const closed = await openRegistry(t, createMemory())
  const answer = await closed.get('/v2/', { origin: ORIGIN })
  told(t, answer, 200, { 'access-control-allow-origin': undefined, vary: undefined }, 'off')
})

t.test(
  '15.34: pages that are trusted may send logins that the browser keeps, with a password and with tokens',
  async t => {
    const htpasswdFile = join(t.testdir({}), 'users')
    writeFileSync(htpasswdFile, await htpasswdOf('alice'))
    for (const tokens of [undefined, { service: 'r', lifetimeMs: 300_000, leewayMs: 0 }]) {
      const access = { htpasswdFile, anonymous: 'none' as const, tokens }
      const settings = { access, corsOrigins: [ORIGIN, 'https://b.example'], corsCredentials: true }
      const { send, get } = await openRegistry(t, createMemory(), settings)
      const credentials = { 'access-control-allow-origin': ORIGIN, 'access-control-allow-credentials': 'true' }
      const asks = {
        origin: ORIGIN,
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'authorization'
      }
      for (const path of ['/v2/_catalog', '/v2/token']) {
        told(t, await send('OPTIONS', path, { headers: asks }), 204, credentials, `preflight of ${path}`)
      }
      told(t, await get('/v2/_catalog', { origin: ORIGIN }), 401, credentials, 'a page can read where to log in')
      const login = { origin: ORIGIN, ...basic('alice', passwordOf('alice')) }
      told(t, await get('/v2/_catalog', login), 200, { ...credentials, vary: 'Origin' }, 'a password')
      if (tokens) {
        const issued = await get('/v2/token?scope=registry:catalog:*', login)
        told(t, issued, 200, credentials, 'a token')
        const { token } = JSON.parse(issued.body.toString()) as { token: string }
        told(
          t,
          await get('/v2/_catalog', { origin: ORIGIN, authorization: `Bearer ${token}` }),
          200,
          credentials,
          'with it'
        )
      }
      const stranger = await get('/v2/_catalog', { ...login, origin: 'https://evil.example.com' })
      t.equal(stranger.headers['access-control-allow-origin'], undefined, 'another page reads nothing')
    }
  }
)

t.test('15.34: logins are never for every page', async t => {
  const env = { CORS_ALLOW_CREDENTIALS: 'true', CORS_ALLOW_ORIGIN: 'https://a.example,*' }
  t.throws(() => loadConfig(env), {
    message: /^CORS_ALLOW_CREDENTIALS is "true" and CORS_ALLOW_ORIGIN is "\*"; allowed: /
  })
  await t.rejects(openRegistry(t, createMemory(), { corsOrigins: ['*'], corsCredentials: true }), /corsCredentials/)
})
