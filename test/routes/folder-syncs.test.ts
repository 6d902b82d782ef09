/** How many fsyncs of folders each request costs on a folder, against what docs/storage.md says. */
import fs, { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { digestOf, IMAGE, imageOf, json, random } from '../support/images.ts'

const { fsync } = fs
const { unlink } = fs.promises
let syncs = 0
/** What is done to folders, in its order. */
let steps: string[] = []
// Files are synced with fdatasync. The driver takes its function when it is loaded, so it is loaded after this.
Object.assign(fs, {
  fsync: (...args: Parameters<typeof fsync>) => {
    syncs++
    steps.push('fsync')
    fsync(...args)
  }
})
Object.assign(fs.promises, {
  unlink: (path: string) => {
    if (path.includes('/_tags/')) steps.push('unlink')
    return unlink(path)
  }
})
syncBuiltinESMExports()
const { openFilesystem } = await import('../../src/storage/filesystem.ts')
const { openRegistry } = await import('../support/registry.ts')

function budgetOf(what: string): number {
  const document = readFileSync(join(import.meta.dirname, '../../docs/storage.md'), 'utf8')
  const [, section = ''] = document.split('\n## Durability on a folder\n')
  const row = section.split('\n').find(line => line.startsWith(`| ${what} |`))
  return Number(row?.split('|')[2])
}

t.test('fsyncs of folders', async t => {
  const path = await mkdtemp(join(tmpdir(), 'marina-syncs-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  const { begin, close, del, pushBlob, pushImage, putManifest, getManifest, head, tags } = await openRegistry(
    t,
    await openFilesystem({ path })
  )
  await pushImage('a', 'v1')
  const costs = async (request: () => Promise<unknown>): Promise<number> => {
    syncs = 0
    await request()
    return syncs
  }

  const small = random(4096)
  const location = await begin('a')
  const pushed = await costs(() => close(location, digestOf(small), { body: small }))
  t.ok(pushed > 0 && pushed <= budgetOf('push of a small blob (POST, PUT)'), `push of a small blob: ${pushed}`)

  const blobs = Array.from({ length: 6 }, (_, index) => random(100 + index))
  for (const blob of blobs) await pushBlob('a', blob)
  const manifest = json(imageOf(blobs[0]!, blobs.slice(1)))
  const put = await costs(() => putManifest('a', 'v2', manifest, IMAGE))
  t.ok(put > 0 && put <= budgetOf('manifest with 6 blobs and a tag'), `manifest: ${put}`)

  // One value of the tag was deleted by the push that moved it, which may not be durable yet.
  await putManifest('a', 'v1', manifest, IMAGE)
  steps = []
  const deleted = await costs(() => del('/v2/a/manifests/v1'))
  t.ok(deleted <= budgetOf('DELETE of a tag'), `deletion of a tag: ${deleted}`)
  t.match(steps.join(' '), /^(fsync )+unlink( fsync)+$/)

  const read = await costs(async () => {
    await head(`/v2/a/blobs/${digestOf(small)}`)
    await getManifest('a', 'v2')
    await tags('a')
  })
  t.equal(read, budgetOf('HEAD of a blob, GET of a manifest, tags page'))
})
