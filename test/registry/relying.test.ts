import { performance } from 'node:perf_hooks'
import t from 'tap'
import { type Digest, digestBytes } from '../../src/registry/digest.ts'
import { contentKey, hintKey, linksOf, orphanKey, parseLink, recordsOf } from '../../src/registry/keys.ts'
import type { Registry } from '../../src/registry/registry.ts'
import { descriptor, IMAGE, INDEX, imageOf, indexOf, json, LAYER } from '../support/images.ts'
import { crash } from '../support/interleave.ts'
import { chunk, createWorld, GRACE, textOf, type World } from '../support/world.ts'

const HALF = GRACE / 2
const [CONFIG, BLOB] = [Buffer.from('{}'), Buffer.from('a layer')]
const [config, blob] = [digestBytes(CONFIG), digestBytes(BLOB)]
const IMAGE_BYTES = json(imageOf(CONFIG, [BLOB]))
const image = digestBytes(IMAGE_BYTES)

async function pushBlob({ uploads }: Registry, name: string, bytes: Buffer): Promise<void> {
  await uploads.single(name, digestBytes(bytes), chunk(bytes.toString()))
}
const pushImage = ({ manifests }: Registry) => manifests.put('app', { digest: image }, IMAGE_BYTES, IMAGE)

/** A repository `app` that holds both blobs. */
async function createApp(): Promise<World & { registry: Registry }> {
  const world = createWorld()
  const registry = world.process()
  await pushBlob(registry, 'app', CONFIG)
  await pushBlob(registry, 'app', BLOB)
  return { ...world, registry }
}

const contentsOf = async ({ keys }: World, name: string, digest: Digest): Promise<string[]> =>
  (await keys(linksOf(name, digest))).map(key => parseLink(key).content)

t.test('what is relied on is linked anew when its link is old, and only then', async t => {
  const relying: Record<string, (registry: Registry) => Promise<unknown>> = {
    HEAD: ({ blobs }) => blobs.head('app', blob),
    'a mount from there': ({ blobs }) => blobs.mount('other', blob, 'app'),
    'a mount from there to there': ({ blobs }) => blobs.mount('app', blob, 'app'),
    'a manifest that names it': pushImage,
    'an index that names it': ({ manifests }) =>
      manifests.put('app', { tag: 'cache' }, json(indexOf([descriptor(BLOB, LAYER)])), INDEX)
  }
  for (const [what, rely] of Object.entries(relying)) {
    const world = await createApp()
    world.pass(HALF - 1)
    await rely(world.registry)
    t.equal((await contentsOf(world, 'app', blob)).length, 1, `${what}: a young link is relied on`)
    world.pass(1)
    await rely(world.registry)
    const [first, second, ...more] = await contentsOf(world, 'app', blob)
    t.ok(first !== undefined && second === first && more.length === 0, `${what}: a new link to the same content`)
    await rely(world.registry)
    t.equal((await contentsOf(world, 'app', blob)).length, 2, `${what}: which is young now`)
  }
})

t.test('whoever only reads writes nothing', async t => {
  const world = await createApp()
  await pushImage(world.registry)
  world.pass(HALF)
  world.broken.add('put ')
  t.equal(await textOf(world.registry, 'app', blob), 'a layer')
  await world.registry.manifests.get('app', { digest: image }, () => true)
  await world.registry.referrers.list('app', image)
  t.strictSame(world.warnings, [])
})

t.test('a store that does not take the new link', async t => {
  const world = await createApp()
  world.pass(HALF)
  world.broken.add('put repositories/')
  t.strictSame(await world.registry.blobs.head('app', blob), { size: BLOB.length }, 'HEAD answers all the same')
  t.equal(world.warnings.length, 1, 'and says so in the log')
  await t.rejects(pushImage(world.registry), { message: /broken: put/ }, 'a manifest is not answered 201')
  await t.rejects(world.registry.blobs.mount('other', blob, 'app'), { message: /broken: put/ })
  world.broken.clear()
  await pushImage(world.registry)
})

t.test('HEAD writes nothing for a caller who can not push', async t => {
  const world = await createApp()
  world.pass(HALF)
  const before = await world.keys('')
  t.strictSame(await world.registry.blobs.head('app', blob, { relying: false }), { size: BLOB.length })
  t.strictSame(await world.keys(''), before)
})

t.test('the record of a manifest is written anew when it is old, and only then', async t => {
  const world = await createApp()
  const records = async () => (await world.keys(recordsOf('app', image))).length
  await pushImage(world.registry)
  world.pass(HALF - 1)
  await pushImage(world.registry)
  t.equal(await records(), 1)
  world.pass(1)
  await pushImage(world.registry)
  await pushImage(world.registry)
  t.equal(await records(), 2)
  const { bytes } = await world.process().manifests.get('app', { digest: image }, () => true)
  t.ok(bytes.equals(IMAGE_BYTES))
})

t.test('a process that knows of no record leaves one that counts', async t => {
  const befores: Record<string, (world: World, first: string) => unknown> = {
    'a young record': () => undefined,
    'an old record': world => world.pass(HALF),
    'a damaged record': ({ storage }, first) => storage.put(first, Buffer.from('damaged'))
  }
  for (const [what, change] of Object.entries(befores)) {
    const world = await createApp()
    await pushImage(world.registry)
    world.pass(HALF)
    await pushImage(world.registry) // so that the first one has not the lowest place
    const [before = ''] = await world.keys(recordsOf('app', image))
    await change(world, before)
    await pushImage(world.process())
    const [first] = await world.storage.list(recordsOf('app', image), { ages: true })
    t.ok(first!.ageMs! < HALF, `${what}: the first one is young`)
    t.equal(first!.key === before, what === 'a young record', what)
    const { bytes } = await world.process().manifests.get('app', { digest: image }, () => true)
    t.ok(bytes.equals(IMAGE_BYTES), what)
  }
})

t.test('the children of an index are relied on', async t => {
  const world = await createApp()
  await pushImage(world.registry)
  const index = json(indexOf([descriptor(IMAGE_BYTES, IMAGE)]))
  const push = () => world.registry.manifests.put('app', { tag: 'index' }, index, INDEX)
  const records = async () => (await world.keys(recordsOf('app', image))).length
  world.pass(HALF - 1)
  await push()
  t.equal(await records(), 1, 'a young one is')
  world.pass(1)
  await push()
  t.equal(await records(), 2, 'an old one is written anew')
  const child = await world.process().manifests.get('app', { digest: image }, () => true)
  t.ok(child.bytes.equals(IMAGE_BYTES))
  t.equal(child.mediaType, IMAGE)
})

t.test('word of a loss comes before the loss', async t => {
  for (let calls = 0, ended = false; !ended; calls++) {
    const world = await createApp()
    const [content = ''] = await contentsOf(world, 'app', blob)
    ended = (await crash(calls, () => world.process().blobs.remove('app', blob))).ended
    const linked = (await contentsOf(world, 'app', blob)).length > 0
    const told = (await world.storage.stat(orphanKey(content))) !== undefined
    t.ok(linked || told, `after ${calls} calls: ${linked ? 'still linked' : 'an entry'}`)
    t.ok(await world.storage.stat(contentKey(content)), 'the bytes are the collector’s')
  }
})

t.test('word that is old when the link goes is given again', async t => {
  const world = await createApp()
  const times = [0] // and then a long time later
  t.intercept(performance, 'now', { value: () => times.shift() ?? GRACE })
  world.calls.length = 0
  await world.registry.blobs.remove('app', blob)
  const written = world.calls.filter(call => call.startsWith('put gc/orphans/')).length
  t.equal(written, 2)
  t.ok(
    world.calls.findLastIndex(call => call.startsWith('put gc/')) <
      world.calls.findIndex(call => /^delete .*_blobs/.test(call))
  )
})

t.test('equal bytes are stored once where that is safe', async t => {
  const hints: Record<string, (world: World, content: string) => Promise<unknown>> = {
    'content that lost a link': ({ storage }, content) => storage.put(orphanKey(content), Buffer.alloc(0)),
    'a torn hint': ({ storage }) => storage.put(hintKey(blob), Buffer.from('{"content":"0')),
    'an empty hint': ({ storage }) => storage.put(hintKey(blob), Buffer.alloc(0)),
    'a hint of another kind': ({ storage }) => storage.put(hintKey(blob), Buffer.from('null')),
    'a hint to content that is gone': ({ storage }) =>
      storage.put(hintKey(blob), json({ content: crypto.randomUUID(), size: BLOB.length })),
    'a hint to content of another size': ({ storage }, content) =>
      storage.put(hintKey(blob), json({ content, size: BLOB.length + 1 }))
  }
  const world = await createApp()
  await pushBlob(world.registry, 'other', BLOB)
  const [content = ''] = await contentsOf(world, 'app', blob)
  t.strictSame(await contentsOf(world, 'other', blob), [content], 'shared')
  t.equal((await world.keys('content/')).length, 2, 'the config and the layer')
  t.ok(await world.registry.blobs.mount('mounted', blob, undefined), 'mounted from wherever it is')
  t.strictSame(await contentsOf(world, 'mounted', blob), [content])

  for (const [what, leave] of Object.entries(hints)) {
    const world = await createApp()
    const [content = ''] = await contentsOf(world, 'app', blob)
    await leave(world, content)
    t.notOk(await world.registry.blobs.mount('mounted', blob, undefined), `${what}: not mounted`)
    await pushBlob(world.registry, 'other', BLOB)
    const own = await contentsOf(world, 'other', blob)
    t.ok(own.length === 1 && own[0] !== content, `${what}: not shared`)
    t.equal(await textOf(world.registry, 'other', blob), 'a layer', what)
  }
})

t.test('a blob that was deleted and pushed again', async t => {
  const world = await createApp()
  const [content = ''] = await contentsOf(world, 'app', blob)
  await pushBlob(world.registry, 'other', BLOB)
  await world.registry.blobs.remove('app', blob)
  await pushBlob(world.registry, 'app', BLOB)
  const own = await contentsOf(world, 'app', blob)
  t.ok(own.length === 1 && own[0] !== content, 'is not the content that a collector may be looking at')
  t.equal(await textOf(world.registry, 'other', blob), 'a layer', 'which the other repository keeps')
  t.notOk(await world.registry.blobs.mount('app', digestBytes(Buffer.from('no blob')), 'other'))
  t.ok(await world.registry.blobs.rely('app', config))
})

t.test('what was seen may be trusted for a time by those who read, and by nobody else', async t => {
  const world = await createApp()
  const [reader, other] = [world.process({ metadataTtlMs: 60_000, cacheBytes: 0 }), world.process()]
  const all = (): boolean => true
  const [OTHER, otherImage] = [json({ ...imageOf(CONFIG, [BLOB]), annotations: { a: 'b' } }), IMAGE] as const
  await t.rejects(reader.manifests.get('app', { tag: 'v1' }, all), 'not there yet')
  await other.manifests.put('app', { tag: 'v1' }, IMAGE_BYTES, IMAGE)
  t.equal((await reader.manifests.get('app', { tag: 'v1' }, all)).digest, image, 'absence is not trusted')
  await textOf(reader, 'app', blob)

  world.calls.length = 0
  await reader.manifests.get('app', { tag: 'v1' }, all)
  await textOf(reader, 'app', blob)
  t.strictSame(
    world.calls.filter(call => call.startsWith('list')),
    [],
    'no key is asked for again'
  )

  await other.manifests.put('app', { tag: 'v1' }, OTHER, otherImage)
  t.equal((await reader.manifests.get('app', { tag: 'v1' }, all)).digest, image, 'a tag that was moved shows late')
  await other.manifests.remove('app', { digest: image })
  const { bytes } = await reader.manifests.get('app', { tag: 'v1' }, all)
  t.strictSame(bytes, OTHER, 'what is gone is looked for anew, and the tag with it')
  await other.blobs.remove('app', blob)
  const kind = (refused: Promise<unknown>): Promise<unknown> => refused.catch(error => error.kind)
  t.equal(await kind(reader.blobs.head('app', blob)), 'blob-unknown', 'nobody relies on what was seen')
  t.equal(await kind(reader.manifests.put('app', { tag: 'v2' }, IMAGE_BYTES, IMAGE)), 'manifest-blob-unknown')
})
