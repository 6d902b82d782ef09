import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startRegistry } from 'marina-distribution/testing'
import { pullManifest, pushArtifact } from './pull.mjs'

let registry
before(async () => {
  registry = await startRegistry()
  await pushArtifact(registry.url, 'app', 'v1')
})
after(() => registry.close())

test('a busy registry is asked again', async () => {
  registry.fail({ status: 429 }, { method: 'GET', times: 2 })
  assert.equal((await pullManifest(registry.host, 'app', 'v1')).artifactType, 'text/plain')
  const statuses = registry.requests.filter(({ method }) => method === 'GET').map(({ status }) => status)
  assert.deepEqual(statuses, [429, 429, 200])
})
