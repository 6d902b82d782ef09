import assert from 'node:assert/strict'
import t from 'tap'
import { digestBytes } from '../../src/registry/digest.ts'
import { RegistryError } from '../../src/registry/errors.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { INDEX, indexOf, json } from '../support/images.ts'
import { everyOrder, type Run } from '../support/interleave.ts'
import { chunk, createWorld } from '../support/world.ts'

const MANIFEST = json(indexOf([]))
const manifest = digestBytes(MANIFEST)
const blob = digestBytes(Buffer.from('blob'))

interface At {
  registry: Registry
  name: string
}
const pushManifest = ({ registry, name }: At) => registry.manifests.put(name, { digest: manifest }, MANIFEST, INDEX)
const deleteManifest = ({ registry, name }: At) => registry.manifests.remove(name, { digest: manifest })
const pushBlob = ({ registry, name }: At) => registry.uploads.single(name, blob, chunk('blob'))
const deleteBlob = ({ registry, name }: At) => registry.blobs.remove(name, blob)

async function catalog(registry: Registry): Promise<string[]> {
  return (await registry.repositories.list({ n: 100 })).items
}

t.test('a repository is in the catalog while it holds something', async t => {
  const world = createWorld()
  const at: At = { registry: world.process(), name: 'team/app' }
  await at.registry.uploads.start(at.name)
  t.strictSame(await catalog(at.registry), [], 'a session is nothing yet')
  await pushBlob(at)
  t.strictSame(await catalog(at.registry), [at.name], 'a blob')
  await pushManifest(at)
  await deleteBlob(at)
  t.strictSame(await catalog(at.registry), [at.name], 'a manifest')
  await deleteManifest(at)
  t.strictSame(await catalog(at.registry), [], 'nothing')
  await pushBlob(at)
  t.strictSame(await catalog(at.registry), [at.name], 'and comes back')
})

t.test('a process that knows a repository which another has emptied', async t => {
  const world = createWorld()
  const [here, there] = [world.process(), world.process()].map(registry => ({ registry, name: 'team/app' })) as [At, At]
  await pushManifest(here)
  await deleteManifest(there)
  t.strictSame(await catalog(here.registry), [])
  await pushManifest(here)
  t.strictSame(await catalog(here.registry), [here.name])
})

const meetings: Record<
  string,
  [beginning: ((at: At) => Promise<unknown>)[], together: ((at: At) => Promise<unknown>)[]]
> = {
  'a manifest is pushed while the last blob goes': [[pushBlob], [pushManifest, deleteBlob]],
  'a blob is pushed while the last manifest goes': [[pushManifest], [pushBlob, deleteManifest]],
  'a blob is pushed while it goes': [[pushBlob], [pushBlob, deleteBlob]],
  'the last blob and the last manifest go': [
    [pushBlob, pushManifest],
    [deleteBlob, deleteManifest]
  ],
  'all at once': [[pushBlob], [pushManifest, deleteBlob, deleteManifest]]
}

t.test('the catalog is right after pushes and deletions at the same time', async t => {
  for (const where of ['in one process', 'in processes of their own']) {
    for (const [title, [beginning, together]] of Object.entries(meetings)) {
      const world = createWorld()
      const observer = world.process()
      const processes = together.map(() => world.process())
      let runs = 0
      const orders = await everyOrder(1, async () => {
        const name = `team/app${runs++}`
        await world.clear()
        const one = where === 'in one process'
        for (const begin of beginning) await begin({ registry: one ? processes[0]! : observer, name })
        return {
          works: together.map((work, index) => async () => {
            await work({ registry: processes[one ? 0 : index]!, name }).catch(error => {
              if (!(error instanceof RegistryError)) throw error // a deletion may find nothing
            })
          }),
          async check({ results }: Run<void>) {
            for (const result of results) if (result?.status === 'rejected') throw result.reason
            const there = await observer.repositories.exists(name)
            assert.deepEqual(await catalog(observer), there ? [name] : [])
          }
        }
      })
      t.ok(orders >= 10, `${title}, ${where}: ${orders} orders`)
    }
  }
})
