// Run with `node --test`, with @fastify/cookie and @fastify/session installed.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { buildApp } from './app.mjs'

test('the app’s login opens the registry', async t => {
  const path = await mkdtemp(join(tmpdir(), 'session-login-'))
  const app = await buildApp({ path }, async (user, password) => user === 'alice' && password === 'wonderland')
  t.after(async () => {
    await app.close()
    await rm(path, { recursive: true })
  })

  const closed = await app.inject('/v2/')
  assert.equal(closed.statusCode, 401)
  assert.match(String(closed.headers['www-authenticate']), /^Basic /)

  const wrong = await app.inject({ method: 'POST', url: '/login', payload: { user: 'alice', password: 'x' } })
  assert.equal(wrong.statusCode, 401)
  const login = await app.inject({ method: 'POST', url: '/login', payload: { user: 'alice', password: 'wonderland' } })
  const [{ name, value }] = login.cookies
  const cookies = { [name]: value }
  assert.equal((await app.inject({ url: '/v2/', cookies })).statusCode, 200, 'a browser with its session')

  const { password } = (await app.inject({ method: 'POST', url: '/token', cookies })).json()
  const docker = { authorization: `Basic ${Buffer.from(`alice:${password}`).toString('base64')}` }
  assert.equal((await app.inject({ url: '/v2/', headers: docker })).statusCode, 200, 'docker with its token')
  const push = name => app.inject({ method: 'POST', url: `/v2/${name}/blobs/uploads/`, headers: docker })
  assert.equal((await push('alice/app')).statusCode, 202)
  assert.equal((await push('bob/app')).statusCode, 403)
  const forged = { authorization: `Basic ${Buffer.from('alice:wonderland').toString('base64')}` }
  assert.equal((await app.inject({ url: '/v2/', headers: forged })).statusCode, 401)
})
