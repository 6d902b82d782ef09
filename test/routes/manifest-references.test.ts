import t from 'tap'
import { createMemory } from '../../src/storage/memory.ts'
import { holds, refused, told } from '../support/answers.ts'
import {
  ARTIFACT,
  absent,
  DOCKER_LIST,
  descriptor,
  digestOf,
  IMAGE,
  INDEX,
  indexOf,
  json,
  LAYER,
  random
} from '../support/images.ts'
import { keysIn, onEachDriver, openRegistry } from '../support/registry.ts'

const object = (bytes: Buffer): Record<string, unknown> => JSON.parse(bytes.toString())

onEachDriver('blobs that a manifest names must be there, in its repository and of that size', async (t, registry) => {
  const { pushBlob, prepareImage, putManifest, getManifest, storage } = registry
  const image = object(await prepareImage('a'))
  const [there] = image.layers as ReturnType<typeof descriptor>[]
  const missing = [absent(), absent('sha512')].map(digest => ({ ...there, digest }))
  const before = await keysIn(storage, 'repositories/')
  for (const more of [{ layers: [there, ...missing] }, { config: missing[0], layers: [missing[1]] }]) {
    const answer = await putManifest('a', 'gap', json({ ...image, ...more }))
    const errors = refused(t, answer, 400, 'MANIFEST_BLOB_UNKNOWN', 'missing blobs')
    t.strictSame(errors.map(({ detail }) => detail?.digest).sort(), missing.map(({ digest }) => digest).sort())
  }
  await pushBlob('b', Buffer.from('{}'))
  refused(t, await putManifest('b', 'v1', json(image)), 400, 'MANIFEST_BLOB_UNKNOWN', 'blobs of another repository')
  const blobs = json({ mediaType: ARTIFACT, artifactType: 'a/b', blobs: missing })
  refused(t, await putManifest('a', 'gap', blobs, ARTIFACT), 400, 'MANIFEST_BLOB_UNKNOWN', 'an artifact manifest')
  for (const size of [0, 63, 65, 2 ** 53 - 1]) {
    const answer = await putManifest('a', 'size', json({ ...image, layers: [{ ...there, size }] }))
    refused(t, answer, 400, 'MANIFEST_INVALID', `a layer of another size: ${size}`)
  }
  for (const tag of ['gap', 'size']) refused(t, await getManifest('a', tag), 404, 'MANIFEST_UNKNOWN', tag)
  const after = (await keysIn(storage, 'repositories/')).filter(key => !key.startsWith('repositories/b/'))
  t.strictSame(after, before, 'nothing was written')

  const elsewhere = [
    { ...missing[0], urls: ['https://example.com/layer'] },
    { ...missing[1], mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip' },
    { ...missing[0], mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', size: 1 }
  ]
  told(t, await putManifest('a', 'foreign', json({ ...image, layers: elsewhere })), 201, {}, 'layers from elsewhere')
  const noUrls = { ...image, layers: [{ ...missing[0], urls: [] }] }
  refused(t, await putManifest('a', 'gap', json(noUrls)), 400, 'MANIFEST_BLOB_UNKNOWN', 'urls that are empty')
})

onEachDriver('an index: of manifests, of indexes, of blobs', async (t, registry) => {
  const { pushBlob, pushImage, prepareImage, putManifest, getManifest, get, del } = registry
  const leaf = await pushImage('a')
  const inner = json(indexOf([descriptor(leaf.bytes, IMAGE)]))
  told(t, await putManifest('a', digestOf(inner), inner, INDEX), 201, {}, 'the inner index')
  const outer = json(indexOf([descriptor(inner, INDEX), descriptor(leaf.bytes, IMAGE)]))
  told(t, await putManifest('a', 'outer', outer, INDEX), 201, {}, 'the outer index')
  holds(t, await getManifest('a', 'outer'), outer, digestOf(outer), 'the outer index')
  told(t, await del(`/v2/a/manifests/${digestOf(outer)}`), 202, {}, 'DELETE of the outer index')
  holds(t, await getManifest('a', digestOf(inner)), inner, digestOf(inner), 'the inner index stays')
  holds(t, await getManifest('a', leaf.digest), leaf.bytes, leaf.digest, 'the image stays')

  const layer = random(70)
  const cache = json({ layers: [{ blob: digestOf(layer), parent: -1 }], records: [] })
  for (const bytes of [layer, cache]) await pushBlob('a', bytes)
  const entries = [descriptor(layer, `${LAYER}+gzip`), descriptor(cache, 'application/vnd.buildkit.cacheconfig.v0')]
  const buildkit = json(indexOf(entries))
  told(t, await putManifest('a', 'cache', buildkit, INDEX), 201, {}, "BuildKit's cache")
  holds(t, await getManifest('a', 'cache'), buildkit, digestOf(buildkit), "BuildKit's cache")
  holds(t, await get(`/v2/a/blobs/${digestOf(layer)}`), layer, digestOf(layer), 'its layer')

  const sparse = json(indexOf([descriptor(leaf.bytes, IMAGE), descriptor(await prepareImage('a'), IMAGE)]))
  told(t, await putManifest('a', 'sparse', sparse, INDEX), 201, {}, 'an entry may be missing')
  for (const [what, wrong] of [
    ['a manifest', descriptor(leaf.bytes, IMAGE, { size: leaf.bytes.length + 1 })],
    ['a blob', descriptor(layer, LAYER, { size: 1 })]
  ] as const) {
    const answer = await putManifest('a', 'size', json(indexOf([wrong])), INDEX)
    refused(t, answer, 400, 'MANIFEST_INVALID', `${what} of another size`)
  }
})

onEachDriver(
  'sha512 throughout: config, layers, entries, subject, tags',
  async (t, { pushBlob, putManifest, getManifest, send, referrers }) => {
    const parts = [random(10), random(20)]
    for (const bytes of parts) await pushBlob('a', bytes, 'sha512')
    const [config, layer] = parts.map(bytes => descriptor(bytes, LAYER, { digest: digestOf(bytes, 'sha512') }))
    const image = json({ schemaVersion: 2, mediaType: IMAGE, config, layers: [layer] })
    const digest = digestOf(image, 'sha512')
    const entry = descriptor(image, IMAGE, { digest })
    const index = json(indexOf([entry], { subject: entry }))
    const indexDigest = digestOf(index, 'sha512')
    refused(t, await putManifest('a', 'v1', index, INDEX), 400, 'MANIFEST_BLOB_UNKNOWN', 'before its image')
    told(t, await putManifest('a', 'image', image), 201, {}, 'the image under sha256')
    refused(t, await putManifest('a', 'v1', index, INDEX), 400, 'MANIFEST_BLOB_UNKNOWN', 'that is another digest')
    told(t, await putManifest('a', digest, image), 201, { 'docker-content-digest': digest }, 'the image')
    const url = `/v2/a/manifests/${indexDigest}?tag=v1&tag=v2`
    const put = await send('PUT', url, { headers: { 'content-type': INDEX }, body: index })
    told(t, put, 201, { 'oci-tag': 'v1, v2', 'oci-subject': digest }, 'the index')
    for (const tag of ['v1', 'v2']) holds(t, await getManifest('a', tag), index, indexDigest, tag)
    t.strictSame(
      (await referrers('a', digest)).map(({ digest }) => digest),
      [indexDigest]
    )
    for (const reference of [digest, digestOf(image), 'image']) {
      t.ok((await getManifest('a', reference)).body.equals(image), reference)
    }
  },
  { manifestAllowSparse: 'none' }
)

const SPARSE = { index: [201, 400], none: [400, 400], all: [201, 201] } as const
for (const manifestAllowSparse of ['index', 'none', 'all'] as const) {
  onEachDriver(
    `MANIFEST_ALLOW_SPARSE=${manifestAllowSparse}`,
    async (t, { pushBlob, prepareImage, putManifest }) => {
      const [entries, layers] = SPARSE[manifestAllowSparse]
      const image = object(await prepareImage('a'))
      const gaps = [absent(), absent('sha512')].map(digest => ({ mediaType: LAYER, digest, size: 5 }))
      const check = async (what: string, status: number, manifest: object, type: string) => {
        const answer = await putManifest('a', 'gap', json(manifest), type)
        if (status === 201) return void told(t, answer, 201, {}, what)
        const errors = refused(t, answer, 400, 'MANIFEST_BLOB_UNKNOWN', what)
        t.equal(errors.length, gaps.length, `${what}: an entry for each`)
      }
      await check('an index', entries, indexOf(gaps), INDEX)
      await check('a Docker list', entries, { ...indexOf(gaps), mediaType: DOCKER_LIST }, DOCKER_LIST)
      await check('an image', layers, { ...image, layers: gaps }, IMAGE)
      const subject = { mediaType: IMAGE, digest: absent(), size: 1 }
      await check('a missing subject', 201, { ...image, subject }, IMAGE)
      const there = random(5)
      await pushBlob('a', there)
      const wrong = json({ ...image, layers: [descriptor(there, LAYER, { size: 4 })] })
      refused(t, await putManifest('a', 'size', wrong), 400, 'MANIFEST_INVALID', 'a size is never sparse')
    },
    { manifestAllowSparse }
  )
}

t.test('15.12: each digest that a manifest names is looked for once', async t => {
  let calls: string[] = []
  const storage = createMemory({ faults: (method, key) => void calls.push(`${method} ${key}`) })
  const registry = await openRegistry(t, storage)
  const { pushBlob, putManifest, pushImage } = registry
  const image = await pushImage('a')
  const layer = random(9)
  await pushBlob('a', layer)
  const times = (count: number, entry: (index: number) => ReturnType<typeof descriptor>) =>
    json(indexOf(Array.from({ length: count }, (_, index) => entry(index))))
  const nowhere = descriptor(Buffer.alloc(0), IMAGE, { digest: absent() })
  const cases: Record<string, [bytes: Buffer, lookups: number]> = {
    'one image that is nowhere, 3,000 times': [times(3000, () => nowhere), 1],
    '3,000 images that are nowhere': [times(3000, () => ({ ...nowhere, digest: absent() })), 3000],
    'one image, 3,000 times': [times(3000, () => descriptor(image.bytes, IMAGE)), 1],
    "one layer, as in BuildKit's caches": [times(3000, () => descriptor(layer, LAYER)), 1],
    'one digest as an image and as a layer': [
      times(3000, index => ({ ...nowhere, mediaType: index % 2 ? IMAGE : LAYER })),
      2
    ]
  }
  for (const [what, [bytes, lookups]] of Object.entries(cases)) {
    calls = []
    told(t, await putManifest('a', 'v1', bytes, INDEX), 201, {}, what)
    const own = digestOf(bytes).replace(':', '/')
    const asked = calls.filter(call => /_manifests|_blobs/.test(call) && !call.includes(own))
    t.equal(asked.filter(call => call.startsWith('list ')).length, lookups, `${what}: listings`)
    t.ok(asked.length <= lookups + 1, `${what}: ${asked.length} requests in all`)
  }
})

onEachDriver(
  '15.12: a manifest names as many blobs and manifests as it may, and no more',
  async (t, { prepareImage, putManifest }) => {
    const entries = Array.from({ length: 101 }, () => descriptor(Buffer.alloc(0), IMAGE, { digest: absent() }))
    const most = json(indexOf([...entries.slice(1), ...entries.slice(1)]))
    told(t, await putManifest('a', 'v1', most, INDEX), 201, {}, 'the most, each twice')
    const [error] = refused(
      t,
      await putManifest('a', 'v1', json(indexOf(entries)), INDEX),
      400,
      'MANIFEST_INVALID',
      'one more'
    )
    t.match(error, {
      message: 'the manifest names 101 blobs and manifests, and may name 100 (MANIFEST_REFERENCES_MAX)',
      detail: { references: 101, allowed: 100 }
    })
    const image = object(await prepareImage('a'))
    const layers = entries.map(({ digest }) => ({ mediaType: LAYER, digest, size: 1 }))
    refused(t, await putManifest('a', 'v1', json({ ...image, layers })), 400, 'MANIFEST_INVALID', 'an image')
  },
  { manifestReferencesMax: 100 }
)

onEachDriver(
  '15.36: MANIFEST_SIZE_CHECK=warn takes a manifest with a wrong size, with a warning',
  async (t, { pushBlob, pushImage, prepareImage, putManifest, getManifest }) => {
    const image = object(await prepareImage('a'))
    const layer = random(70)
    await pushBlob('a', layer)
    const wrong = json({ ...image, layers: [descriptor(layer, LAYER, { size: 71 })] })
    const warning = `299 - "the manifest says that ${digestOf(layer)} has 71 bytes, and it has 70"`
    told(t, await putManifest('a', 'v1', wrong), 201, { warning }, 'a layer')
    holds(t, await getManifest('a', 'v1'), wrong, digestOf(wrong), 'it is there')
    const child = await pushImage('a')
    const index = json(indexOf([descriptor(child.bytes, IMAGE, { size: 1 })]))
    const answer = await putManifest('a', 'v2', index, INDEX)
    told(t, answer, 201, {}, 'an entry of an index')
    t.match(answer.headers.warning, `${child.digest} has 1 bytes, and it has ${child.bytes.length}"`)
    const many = Array.from({ length: 1000 }, (_, size) => descriptor(layer, LAYER, { size: size + 100 }))
    const long = await putManifest('a', 'v3', json({ ...image, layers: many }))
    told(t, long, 201, {}, 'many wrong sizes')
    t.ok(String(long.headers.warning).length < 1000, 'a short header for them')
    told(t, await putManifest('a', 'v4', json(image)), 201, { warning: undefined }, 'right sizes')
    const missing = json({ ...image, layers: [descriptor(layer, LAYER, { digest: absent() })] })
    refused(t, await putManifest('a', 'v5', missing), 400, 'MANIFEST_BLOB_UNKNOWN', 'a blob that is not there')
  },
  { manifestSizeCheck: 'warn' }
)
