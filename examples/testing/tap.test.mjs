import { startRegistry } from 'marina-distribution/testing'
import t from 'tap'
import { pullManifest, pushArtifact } from './pull.mjs'

t.test('a connection that breaks is told', async t => {
  const registry = await startRegistry()
  t.teardown(registry.close)
  await pushArtifact(registry.url, 'app', 'v1')
  registry.fail({ cutAfterBytes: 10 }, { method: 'GET' })
  await t.rejects(pullManifest(registry.host, 'app', 'v1'))
  t.equal((await pullManifest(registry.host, 'app', 'v1')).artifactType, 'text/plain')
})
