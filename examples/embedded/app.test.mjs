// Run with `node --test`.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { buildApp } from './app.mjs'

const index = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] })
const digest = `sha256:${createHash('sha256').update(index).digest('hex')}`

test('two registries beside routes of the app', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'embedded-'))
  const app = await buildApp(folder)
  t.after(async () => {
    await app.close()
    await rm(folder, { recursive: true })
  })
  const push = prefix =>
    app.inject({
      method: 'PUT',
      url: `${prefix}/v2/app/manifests/v1`,
      headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
      payload: index
    })

  assert.deepEqual((await app.inject('/')).json(), { hello: 'from an app with two registries' })
  assert.equal((await push('')).headers.location, `/v2/app/manifests/${digest}`)
  assert.equal((await app.inject('/v2/app/manifests/v1')).body, index)
  assert.equal((await app.inject('/internal/v2/app/manifests/v1')).statusCode, 404)
  assert.equal((await push('/internal')).headers.location, `/internal/v2/app/manifests/${digest}`)

  assert.equal((await app.inject({ method: 'DELETE', url: '/v2/app/manifests/v1' })).statusCode, 403)
  assert.equal((await app.inject({ method: 'DELETE', url: '/internal/v2/app/manifests/v1' })).statusCode, 202)

  await sleep(50)
  assert.deepEqual((await app.inject('/pushed')).json(), ['app:v1'])
})
