import fc from 'fast-check'
import t from 'tap'
import { RegistryError } from '../../src/registry/errors.ts'
import { parseManifest } from '../../src/registry/manifest-schema.ts'
import { ARTIFACT, absent, CONFIG, DOCKER_IMAGE, IMAGE, INDEX, json, LAYER } from '../support/images.ts'

const parse = (value: unknown, contentType = '') => parseManifest(json(value), contentType)
const entry = (more: object = {}) => ({ mediaType: LAYER, digest: absent(), size: 3, ...more })
const image = (more: object = {}) => ({
  schemaVersion: 2,
  config: entry({ mediaType: CONFIG }),
  layers: [entry()],
  ...more
})

t.test('what an image refers to', async t => {
  const config = entry({ mediaType: CONFIG })
  const layers = [
    entry(),
    entry({ urls: ['https://example.com'] }),
    entry({ urls: [] }),
    entry({ urls: null }),
    entry({ mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' }),
    entry({ mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' })
  ]
  const { references, entries, mediaType } = parse({ schemaVersion: 2, mediaType: DOCKER_IMAGE, config, layers })
  t.equal(mediaType, DOCKER_IMAGE)
  t.strictSame(entries, [])
  const required = [true, true, false, true, true, false, false]
  const wanted = [config, ...layers].map(({ digest, size, mediaType }, at) => ({
    digest,
    size,
    mediaType,
    kind: 'blob',
    required: required[at]
  }))
  t.strictSame(references, wanted)
})

t.test('what an index refers to, and others', async t => {
  const manifests = [
    entry({ mediaType: IMAGE, platform: { os: 'linux', architecture: 'amd64' } }),
    entry({ platform: null })
  ]
  const index = parse({ schemaVersion: 2, manifests }, INDEX)
  t.strictSame(index.entries, manifests)
  t.strictSame(
    index.references.map(({ kind, required }) => [kind, required]),
    [
      ['entry', true],
      ['entry', true]
    ]
  )

  const artifact = parse({ blobs: [entry()], artifactType: 'a/b' }, ARTIFACT)
  t.match(artifact, { mediaType: ARTIFACT, artifactType: 'a/b', references: [{ kind: 'blob', required: true }] })
  t.strictSame(parse({}, ARTIFACT).references, [])

  const mediaType = 'application/vnd.example+json'
  const other = {
    mediaType,
    config: entry(),
    layers: [entry(), 7, { digest: 'x' }],
    manifests: [entry()],
    blobs: 'no',
    subject: entry(),
    annotations: { a: 1 }
  }
  const parsed = parse(other, mediaType)
  t.strictSame(
    parsed.references.map(({ kind, required }) => [kind, required]),
    [
      ['blob', false],
      ['blob', false],
      ['entry', false]
    ]
  )
  t.equal(parsed.subject, other.subject.digest)
  t.equal(parsed.annotations, undefined, 'what reads as annotations is told, nothing else')
})

t.test('what the referrers API tells', async t => {
  const subject = entry()
  const annotations = { a: 'b', '': '' }
  const config = entry({ mediaType: CONFIG })
  t.match(parse(image({ config, subject, annotations })), {
    subject: subject.digest,
    artifactType: CONFIG,
    annotations
  })
  for (const [artifactType, told] of [
    ['x/y', 'x/y'],
    ['', CONFIG],
    [null, CONFIG],
    [undefined, CONFIG]
  ] as const) {
    t.equal(parse(image({ config, artifactType })).artifactType, told, `an image of ${artifactType}`)
    const index = parse({ schemaVersion: 2, manifests: [], artifactType }, INDEX)
    t.equal(index.artifactType, artifactType || undefined, `an index of ${artifactType}`)
  }
  t.notOk('subject' in parse(image({ subject: null })))
})

t.test('whatever is sent is a manifest or refused', async t => {
  const type = fc.constantFrom(
    '',
    IMAGE,
    INDEX,
    ARTIFACT,
    DOCKER_IMAGE,
    'application/json',
    'application/x+json',
    'text/plain'
  )
  const holds = (bytes: Buffer, contentType: string): boolean => {
    try {
      const { mediaType, references } = parseManifest(bytes, contentType)
      return mediaType !== '' && references.every(({ digest, size }) => digest.includes(':') && size >= 0)
    } catch (error) {
      return error instanceof RegistryError && ['manifest-invalid', 'digest-invalid'].includes(error.kind)
    }
  }
  fc.assert(fc.property(fc.uint8Array(), type, (bytes, contentType) => holds(Buffer.from(bytes), contentType)))
  fc.assert(fc.property(fc.json(), type, (text, contentType) => holds(Buffer.from(text), contentType)))
  const value = fc.oneof(fc.jsonValue(), fc.constant([entry()]), fc.constant(entry()), fc.constant(2))
  const keys = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'subject',
    'annotations',
    'blobs',
    'artifactType'
  )
  fc.assert(
    fc.property(fc.dictionary(keys, value), type, fc.boolean(), (changed, contentType, whole) => {
      return holds(json(whole ? image(changed) : changed), contentType)
    }),
    { numRuns: 1000 }
  )
  t.pass('and nothing else is thrown')
})

t.test('an untouched image is one, whatever stands beside its fields', async t => {
  const known = ['schemaVersion', 'mediaType', 'config', 'layers', 'subject', 'annotations', 'artifactType']
  const more = fc.dictionary(
    fc.string().filter(key => !known.includes(key)),
    fc.jsonValue()
  )
  fc.assert(fc.property(more, beside => parse({ ...beside, ...image() }, IMAGE).references.length === 2))
  t.equal(parse(JSON.parse('{"__proto__":{"mediaType":"x"},"schemaVersion":2,"manifests":[]}')).mediaType, INDEX)
})
