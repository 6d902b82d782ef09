import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
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
