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
import { keysIn, onEachDriver } from '../support/registry.ts'

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
