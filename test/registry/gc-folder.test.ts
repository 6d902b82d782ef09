import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createCollector } from '../../src/registry/gc.ts'
import { tagFolder } from '../../src/registry/keys.ts'
import { createRegistry } from '../../src/registry/registry.ts'
import { openFilesystem } from '../../src/storage/filesystem.ts'
import { EXPIRY, GRACE } from '../support/world.ts'

t.test('a tag whose deletion a crash cut short is a folder without a value, and goes', async t => {
  const path = mkdtempSync(join(tmpdir(), 'marina-collecting-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  const storage = await openFilesystem({ path })
  const quiet = () => {}
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  const options = { storage, graceMs: GRACE, uploadExpiryMs: EXPIRY }
  const registry = createRegistry({ ...options, log, cacheBytes: 0, sparse: 'index' })
  const index = Buffer.from('{"schemaVersion":2,"manifests":[]}')
  await registry.manifests.put('app', { tag: 'v1' }, index, 'application/vnd.oci.image.index.v1+json')
  mkdirSync(join(path, tagFolder('app', 'cut-short')), { recursive: true })
  const tags = async () => (await registry.tags.list('app', { n: 9 })).items
  t.strictSame(await tags(), ['cut-short', 'v1'])
  await createCollector({ ...options, registry }).collect()
  t.strictSame(await tags(), ['v1'])
})
