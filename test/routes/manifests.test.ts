import fc from 'fast-check'
import { parseDigest } from '../../src/registry/digest.ts'
import { recordsOf } from '../../src/registry/keys.ts'
import { holds, refused, told } from '../support/answers.ts'
import {
  ALGORITHMS,
  ARTIFACT,
  absent,
  CONFIG,
  DOCKER_IMAGE,
  DOCKER_LIST,
  descriptor,
  digestOf,
  EMPTY_JSON,
  IMAGE,
  INDEX,
  imageOf,
  indexOf,
  json,
  LAYER,
  NOTHING,
  random,
  SCHEMA1
} from '../support/images.ts'
import { keysIn, onEachDriver } from '../support/registry.ts'

const MIB = 1024 * 1024
const object = (bytes: Buffer): Record<string, unknown> => JSON.parse(bytes.toString())

onEachDriver('a manifest comes back byte for byte', async (t, { prepareImage, putManifest, getManifest }) => {
  const compact = (await prepareImage('a')).toString()
  const plain = JSON.parse(compact)
  const forms: Record<string, string> = {
    tabs: `${JSON.stringify(plain, null, '\t')}\n`,
    'three spaces and CRLF': JSON.stringify(plain, null, 3).replaceAll('\n', '\r\n'),
    'space around': ` \n\t${compact}\n\n`,
    'unknown fields first': JSON.stringify({ zzz: [1, null, { deep: [] }], '': 1, ...plain }),
    'another order': JSON.stringify(Object.fromEntries(Object.entries(plain).reverse())),
    'escaped names': compact.replace('"layers"', '"\\u006cayers"'),
    'escaped slashes': compact.replaceAll('/', '\\/'),
    'odd numbers': compact.replace('{', '{"x":1.0e3,"y":-0,"z":12345678901234567890,"w":1.50,'),
    'every script': JSON.stringify({ ...plain, annotations: { é: '日本 \u2028 😀', 'a\u0000b': '\ud83d' } }),
    'doubled names': compact.replace('{', '{"annotations":{"a":"1"},"annotations":{"a":"2"},'),
    __proto__: compact.replace('{', '{"__proto__":{"mediaType":"x"},"constructor":{},"toString":1,'),
    deep: compact.replace('{', `{"deep":${'['.repeat(90)}${']'.repeat(90)},`)
  }
  for (const [what, text] of Object.entries(forms)) {
    const bytes = Buffer.from(text)
    for (const algorithm of ALGORITHMS) {
      const digest = digestOf(bytes, algorithm)
      const location = `/v2/a/manifests/${digest}`
      const tag = what.replaceAll(' ', '-')
      const put = await putManifest('a', algorithm === 'sha256' ? tag : digest, bytes)
      told(t, put, 201, { location, 'docker-content-digest': digest }, `${what}, ${algorithm}`)
      for (const reference of [digest, encodeURIComponent(digest), ...(algorithm === 'sha256' ? [tag] : [])]) {
        const got = await getManifest('a', reference)
        holds(t, got, bytes, digest, what)
        told(t, got, 200, { 'content-type': IMAGE, etag: `"${digest}"` }, what)
      }
    }
  }
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), async (more, spaces) => {
      const bytes = Buffer.from(JSON.stringify({ more, ...plain }, null, spaces))
      await putManifest('a', 'any', bytes)
      return (await getManifest('a', 'any')).body.equals(bytes)
    }),
    { numRuns: 30 }
  )
})

onEachDriver(
  'what is no JSON object in UTF-8 does not get in',
  async (t, { prepareImage, putManifest, getManifest }) => {
    const image = await prepareImage('a')
    const bad: Record<string, Buffer> = {
      nothing: NOTHING,
      null: Buffer.from('null'),
      list: Buffer.from('[]'),
      'list of a manifest': Buffer.concat([Buffer.from('['), image, Buffer.from(']')]),
      string: Buffer.from('"x"'),
      number: Buffer.from('1'),
      'cut off': image.subarray(0, -1),
      'two of them': Buffer.concat([image, image]),
      'a comment': Buffer.concat([Buffer.from('/**/'), image]),
      'a byte order mark': Buffer.concat([Buffer.from('\ufeff'), image]),
      'invalid UTF-8': Buffer.from(image.toString().replace('{', '{"x":"é",'), 'latin1'),
      'UTF-16': Buffer.from(image.toString(), 'utf16le'),
      deep: Buffer.alloc(MIB, '['),
      'deep objects': Buffer.from('{"a":'.repeat(100_000)),
      html: Buffer.from('<html></html>')
    }
    for (const [what, bytes] of Object.entries(bad)) {
      for (const type of [IMAGE, INDEX, DOCKER_IMAGE, '']) {
        refused(t, await putManifest('a', 'bad', bytes, type), 400, 'MANIFEST_INVALID', `${what} as ${type}`)
      }
      refused(t, await getManifest('a', 'bad'), 404, 'MANIFEST_UNKNOWN', what)
    }
  }
)

onEachDriver('every kind of manifest, with its type as it was pushed', async (t, registry) => {
  const { pushBlob, prepareImage, putManifest, getManifest } = registry
  const image = await prepareImage('a')
  const { config, layers } = object(image)
  const empty = Buffer.from('{}')
  await pushBlob('a', empty)
  const unspecific = { config: descriptor(empty, EMPTY_JSON, { data: 'e30=' }), mediaType: IMAGE, schemaVersion: 2 }
  const [layer] = layers as object[]
  const child = descriptor(image, IMAGE)
  await putManifest('a', digestOf(image), image)
  const kinds: Record<string, [type: string, manifest: object, contentType?: string]> = {
    'OCI image': [IMAGE, { schemaVersion: 2, mediaType: IMAGE, config, layers }],
    'OCI image without mediaType, as from helm': [IMAGE, { schemaVersion: 2, config, layers }],
    'OCI image that nothing tells the type of': [IMAGE, { schemaVersion: 2, config, layers }, ''],
    'only the mediaType tells': [DOCKER_IMAGE, { schemaVersion: 2, mediaType: DOCKER_IMAGE, config, layers }, ''],
    'null for lists': [IMAGE, { ...unspecific, layers: null, annotations: null, subject: null, artifactType: null }],
    'Content-Type with parameters': [IMAGE, { ...unspecific, layers }, `${IMAGE}; charset=utf-8; x="y"`],
    'Content-Type in capitals': [IMAGE, { ...unspecific, layers: [] }, IMAGE.toUpperCase()],
    'artifact with the empty config': [
      IMAGE,
      { ...unspecific, artifactType: 'application/vnd.example', layers: [layer] }
    ],
    'artifact without layers': [IMAGE, { ...unspecific, artifactType: 'application/vnd.example', layers: [] }],
    'OCI index': [INDEX, indexOf([child])],
    'OCI index without mediaType': [INDEX, { schemaVersion: 2, manifests: [child, { ...child, platform: {} }] }],
    'OCI index that nothing tells the type of': [INDEX, { schemaVersion: 2, manifests: [{ ...child, x: 1 }] }, ''],
    'empty index': [INDEX, indexOf([])],
    'Docker image': [DOCKER_IMAGE, { schemaVersion: 2, mediaType: DOCKER_IMAGE, config, layers: [layer, layer] }],
    'Docker list': [DOCKER_LIST, { schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [child] }],
    'artifact manifest': [ARTIFACT, { mediaType: ARTIFACT, artifactType: 'application/vnd.example', blobs: [layer] }],
    'another type': ['application/vnd.example.v3+json', { mediaType: 'application/vnd.example.v3+json', config: 7 }]
  }
  for (const [what, [type, manifest, contentType = type]] of Object.entries(kinds)) {
    const bytes = json(manifest)
    const put = await putManifest('a', 'kind', bytes, contentType)
    told(t, put, 201, { 'docker-content-digest': digestOf(bytes), 'content-length': '0' }, what)
    for (const reference of ['kind', digestOf(bytes)]) {
      const got = await getManifest('a', reference)
      holds(t, got, bytes, digestOf(bytes), what)
      told(t, got, 200, { 'content-type': type }, what)
    }
  }
})

onEachDriver('types and schemas that contradict or say nothing are refused', async (t, registry) => {
  const { prepareImage, putManifest } = registry
  const image = object(await prepareImage('a'))
  const index = indexOf([])
  const bad: Record<string, [manifest: object, type: string]> = {
    'an index sent as an image': [index, IMAGE],
    'an image sent as an index': [image, INDEX],
    'an image sent as a Docker image': [image, DOCKER_IMAGE],
    'an image sent as JSON': [image, 'application/json'],
    'JSON of no type': [{ schemaVersion: 2 }, 'application/json'],
    'another type without its mediaType': [{ schemaVersion: 2 }, 'application/vnd.example+json'],
    'no type at all': [{ schemaVersion: 2, x: [] }, ''],
    'a type that is none': [image, 'not a type;;'],
    text: [{ mediaType: 'text/plain' }, 'text/plain'],
    'an odd type': [{ mediaType: 'application/vnd.é+json' }, ''],
    'a type with a line break': [{ mediaType: 'application/x\r\nX-Injected: y+json' }, ''],
    'mediaType null': [{ ...image, mediaType: null }, IMAGE],
    'mediaType a number': [{ ...image, mediaType: 7 }, IMAGE],
    'no schemaVersion': [{ ...image, schemaVersion: undefined }, IMAGE],
    'schemaVersion 3': [{ ...image, schemaVersion: 3 }, IMAGE],
    'no config': [{ ...image, config: undefined }, IMAGE],
    'config null': [{ ...image, config: null }, IMAGE],
    'layers missing': [{ ...image, layers: undefined }, IMAGE],
    'layers no list': [{ ...image, layers: {} }, IMAGE],
    'a layer that is text': [{ ...image, layers: ['x'] }, IMAGE],
    'a size below zero': [{ ...image, layers: [descriptor(NOTHING, LAYER, { size: -1 })] }, IMAGE],
    'a size that is text': [{ ...image, layers: [descriptor(NOTHING, LAYER, { size: '0' })] }, IMAGE],
    'annotations that are no text': [{ ...image, annotations: { a: 1 } }, IMAGE],
    'an artifactType that is a number': [{ ...image, artifactType: 7 }, IMAGE],
    'a subject without a size': [{ ...image, subject: { mediaType: IMAGE, digest: absent() } }, IMAGE],
    'manifests no list': [{ ...index, manifests: 'x' }, INDEX],
    'an entry without a digest': [{ ...index, manifests: [{ mediaType: IMAGE, size: 1 }] }, INDEX]
  }
  for (const [what, [manifest, type]] of Object.entries(bad)) {
    const answer = await putManifest('a', 'bad', json(manifest), type)
    refused(t, answer, 400, 'MANIFEST_INVALID', what)
    t.equal(answer.headers['x-injected'], undefined)
  }
  for (const digest of ['', 'x', 'sha256:short', 'md5:d41d8cd98f00b204e9800998ecf8427e', `sha256:${'A'.repeat(64)}`]) {
    const layers = [descriptor(NOTHING, LAYER, { digest })]
    refused(t, await putManifest('a', 'bad', json({ ...image, layers })), 400, 'DIGEST_INVALID', `a layer ${digest}`)
    const subject = { mediaType: IMAGE, digest, size: 1 }
    refused(t, await putManifest('a', 'bad', json({ ...image, subject })), 400, 'DIGEST_INVALID', `a subject ${digest}`)
    const entries = json(indexOf([descriptor(NOTHING, IMAGE, { digest })]))
    refused(t, await putManifest('a', 'bad', entries, INDEX), 400, 'DIGEST_INVALID', `an entry ${digest}`)
  }
  for (const type of [SCHEMA1, 'application/vnd.docker.distribution.manifest.v1+json', 'application/json', '']) {
    const answer = await putManifest('a', 'old', json({ schemaVersion: 1, name: 'a', tag: 'old', fsLayers: [] }), type)
    const [error] = refused(t, answer, 400, 'MANIFEST_INVALID', `schema 1 as ${type}`)
    t.match(error?.message, /schema 1.*(push|convert)/, 'says what to do')
  }
})

onEachDriver('15.3: a document that can be read as two types is refused', async (t, registry) => {
  const { prepareImage, putManifest, getManifest } = registry
  const { config, layers } = object(await prepareImage('a'))
  const entry = descriptor(await prepareImage('a'), IMAGE)
  const both = { schemaVersion: 2, config, layers, manifests: [entry] }
  const bad: Record<string, object> = {
    'an image and an index': both,
    'an image and an empty index': { ...both, manifests: [] },
    'an index with layers': { schemaVersion: 2, manifests: [entry], layers: [] },
    'an index with a config': { schemaVersion: 2, manifests: [entry], config },
    'an image with the name of a field in capitals': { schemaVersion: 2, config, layers, Manifests: [entry] },
    'an image with a long s in the name of a field': {
      schemaVersion: 2,
      config,
      layers,
      'manife\u017ft\u017f': [entry]
    },
    'an image with two media types': { schemaVersion: 2, config, layers, mediatype: INDEX },
    'an image with the layers of schema 1': { schemaVersion: 2, config, layers, fsLayers: [] }
  }
  for (const [what, manifest] of Object.entries(bad)) {
    for (const type of [IMAGE, DOCKER_IMAGE, INDEX, DOCKER_LIST, ARTIFACT, '']) {
      for (const more of type ? [{}, { mediaType: type }] : [{}]) {
        const answer = await putManifest('a', 'bad', json({ ...manifest, ...more }), type)
        refused(t, answer, 400, 'MANIFEST_INVALID', `${what} as ${type} ${Object.keys(more)}`)
      }
    }
  }
  const image = { schemaVersion: 2, config, layers }
  refused(t, await putManifest('a', 'bad', json(image), ARTIFACT), 400, 'MANIFEST_INVALID', 'an image as an artifact')
  refused(t, await getManifest('a', 'bad'), 404, 'MANIFEST_UNKNOWN', 'none of them got in')
  for (const manifest of [
    { ...image, manifests: null },
    { ...image, more: { manifests: [], Config: 1 } }
  ]) {
    told(t, await putManifest('a', 'good', json(manifest)), 201, {}, 'what no client can mistake')
  }
})

onEachDriver(
  '15.3: the type under which a digest was first kept stays',
  async (t, registry) => {
    const { prepareImage, pushImage, putManifest, getManifest, referrers, del, storage } = registry
    const subject = await pushImage('a', 'subject')
    const { config, layers } = object(await prepareImage('a'))
    const image = { schemaVersion: 2, config, layers, subject: descriptor(subject.bytes, IMAGE) }
    const index = { schemaVersion: 2, manifests: [] }
    const pairs = [
      [IMAGE, DOCKER_IMAGE, image],
      [DOCKER_IMAGE, IMAGE, { ...image, annotations: { a: 'b' } }],
      [INDEX, DOCKER_LIST, index],
      [DOCKER_LIST, INDEX, { ...index, annotations: { a: 'b' } }]
    ] as const
    for (const [first, second, manifest] of pairs) {
      const bytes = json(manifest)
      const digest = digestOf(bytes)
      const check = async (what: string, type: string) => {
        for (const reference of ['v1', digest]) {
          const got = await getManifest('a', reference, { accept: '*/*' })
          told(t, got, 200, { 'content-type': type, 'docker-content-digest': digest }, `${what}, ${reference}`)
        }
      }
      told(t, await putManifest('a', 'v1', bytes, first), 201, {}, first)
      const other = await registry.peer()
      for (const { putManifest } of [registry, other, await registry.peer()]) {
        for (const reference of ['latest', digest, 'v1']) {
          told(t, await putManifest('a', reference, bytes, second), 201, {}, `${second} by ${reference}`)
          await check(`after a push as ${second}`, first)
        }
      }
      const told1 = (await referrers('a', subject.digest)).find(each => each.digest === digest)
      if ('subject' in manifest) t.equal(told1?.mediaType, first, 'its subject tells the same type')

      const [record] = await keysIn(storage, recordsOf('a', parseDigest(digest)))
      await storage.delete([record!])
      await storage.put(record!, Buffer.from('damaged'))
      told(t, await (await registry.peer()).putManifest('a', 'latest', bytes, second), 201, {}, 'a repair')
      t.equal((await (await registry.peer()).getManifest('a', 'v1')).headers['content-type'], second)

      await del(`/v2/a/manifests/${digest}`)
      told(t, await putManifest('a', 'v1', bytes, second), 201, {}, 'pushed again after it was deleted')
      await check('then the type is new', second)
      await del('/v2/a/manifests/v1')
    }
  },
  { immutableTags: ['v1'] }
)

for (const manifestMaxBytes of [4 * MIB, 100_000]) {
  onEachDriver(
    `a manifest of the limit gets in, and one byte more does not: ${manifestMaxBytes}`,
    async (t, { prepareImage, send, getManifest }) => {
      const plain = object(await prepareImage('a'))
      const ofSize = (size: number): Buffer => {
        const pad = size - json({ ...plain, pad: '' }).length
        return json({ ...plain, pad: 'x'.repeat(pad) })
      }
      const headers = { 'content-type': IMAGE }
      for (const chunked of [false, true]) {
        const put = (tag: string, body: Buffer) => send('PUT', `/v2/a/manifests/${tag}`, { headers, body, chunked })
        const most = ofSize(manifestMaxBytes)
        t.equal(most.length, manifestMaxBytes)
        told(t, await put('most', most), 201, {}, `the limit, chunked: ${chunked}`)
        holds(t, await getManifest('a', 'most'), most, digestOf(most), 'the limit')
        refused(t, await put('more', ofSize(manifestMaxBytes + 1)), 413, 'MANIFEST_INVALID', `chunked: ${chunked}`)
        refused(t, await put('more', ofSize(manifestMaxBytes * 3)), 413, 'MANIFEST_INVALID', `chunked: ${chunked}`)
        refused(t, await getManifest('a', 'more'), 404, 'MANIFEST_UNKNOWN', 'one byte more')
      }
    },
    { manifestMaxBytes }
  )
}

onEachDriver('configs of every type', async (t, { pushBlob, putManifest }) => {
  const config = random(9)
  await pushBlob('a', config)
  for (const mediaType of [CONFIG, EMPTY_JSON, 'application/vnd.cncf.helm.config.v1+json', 'x', '']) {
    const manifest = { ...imageOf(config, []), config: descriptor(config, mediaType) }
    told(t, await putManifest('a', 'v1', json(manifest)), 201, {}, `a config of type ${JSON.stringify(mediaType)}`)
  }
})
