import { startRegistry } from 'marina-distribution/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pullManifest, pushArtifact } from './pull.mjs'

let registry
beforeAll(async () => {
  registry = await startRegistry()
  await pushArtifact(registry.url, 'app', 'v1')
})
afterAll(() => registry.close())

test('it gives up in the end', async () => {
  registry.fail({ status: 429 }, { path: /manifests/, times: 3 })
  await expect(pullManifest(registry.host, 'app', 'v1')).rejects.toThrow('429')
  expect((await pullManifest(registry.host, 'app', 'v1')).schemaVersion).toBe(2)
})
