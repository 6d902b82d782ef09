import { openSocket } from '../plugins/edge.ts'
import { holds, told } from '../support/answers.ts'
import {
  absent,
  DOCKER_IMAGE,
  DOCKER_LIST,
  descriptor,
  digestOf,
  IMAGE,
  INDEX,
  indexOf,
  json,
  LAYER,
  SCHEMA1
} from '../support/images.ts'
import { type Opened, onEachDriver } from '../support/registry.ts'

const AMD64 = { architecture: 'amd64', os: 'linux' }
const ARM64 = { architecture: 'arm64', os: 'linux', variant: 'v8' }
/** As buildx enters an attestation. */
const UNKNOWN = { architecture: 'unknown', os: 'unknown' }

async function pushIndex({ pushImage, putManifest, must }: Opened, tag: string, type = INDEX) {
  const [arm, amd] = [await pushImage('a'), await pushImage('a')]
  const entries = [
    descriptor(arm.bytes, IMAGE, { platform: UNKNOWN }),
    descriptor(arm.bytes, IMAGE, { platform: ARM64 }),
    descriptor(amd.bytes, IMAGE, { platform: AMD64 })
  ]
  const bytes = json({ ...indexOf(entries), mediaType: type })
  await must(201, putManifest('a', tag, bytes, type))
  return { index: { bytes, digest: digestOf(bytes) }, amd }
}

onEachDriver('whoever takes anything gets what is stored', async (t, registry) => {
  const { pushImage, getManifest, head } = registry
  const image = await pushImage('a', 'image')
  const { index } = await pushIndex(registry, 'index')
  const accepts = [
    undefined,
    '',
    '*/*',
    '*',
    'application/*',
    '*/*;q=0.1',
    'text/html, application/xhtml+xml, */*;q=0.8',
    `${SCHEMA1}, */*`,
    `${IMAGE}, ${INDEX}`,
    `${IMAGE.toUpperCase()},${INDEX.toUpperCase()}; q=0.001`,
    `${IMAGE};q=1, ${INDEX};q=0.1`,
    'nonsense',
    ';;,,;q=2'
  ]
  for (const accept of accepts) {
    const headers = accept === undefined ? {} : { accept }
    for (const [reference, { bytes, digest }, type] of [
      ['image', image, IMAGE],
      [image.digest, image, IMAGE],
      ['index', index, INDEX],
      [index.digest, index, INDEX]
    ] as const) {
      const what = `${reference}, Accept: ${accept}`
      const got = await getManifest('a', reference, headers)
      holds(t, got, bytes, digest, what)
      const described = { 'content-type': type, vary: 'Accept', etag: `"${digest}"`, 'docker-content-digest': digest }
      told(t, got, 200, described, `GET ${what}`)
      const headed = await head(`/v2/a/manifests/${reference}`, headers)
      told(t, headed, 200, { ...described, 'content-length': String(bytes.length) }, `HEAD ${what}`)
    }
  }
})

onEachDriver('whoever does not take an index gets its image for linux/amd64, by tag', async (t, registry) => {
  const { getManifest, head } = registry
  for (const type of [INDEX, DOCKER_LIST]) {
    const { index, amd } = await pushIndex(registry, 'v1', type)
    for (const accept of [IMAGE, `${DOCKER_IMAGE}, ${IMAGE}`, `${type};q=0, */*`, `application/*, ${type};q=0.0`]) {
      const what = `${type}, Accept: ${accept}`
      const headers = { accept }
      const got = await getManifest('a', 'v1', headers)
      holds(t, got, amd.bytes, amd.digest, what)
      const described = {
        'content-type': IMAGE,
        vary: 'Accept',
        etag: `"${amd.digest}"`,
        'docker-content-digest': amd.digest
      }
      told(t, got, 200, described, `GET ${what}`)
      const headed = await head('/v2/a/manifests/v1', headers)
      told(t, headed, 200, { ...described, 'content-length': String(amd.bytes.length) }, `HEAD ${what}`)
      told(
        t,
        await getManifest('a', 'v1', { ...headers, 'if-none-match': `"${amd.digest}"` }),
        304,
        { vary: 'Accept' },
        what
      )
      const other = await getManifest('a', 'v1', { ...headers, 'if-none-match': `"${index.digest}"` })
      holds(t, other, amd.bytes, amd.digest, `${what}, with the index's ETag`)
      holds(t, await getManifest('a', index.digest, headers), index.bytes, index.digest, `${what}, by digest`)
    }
    holds(t, await getManifest('a', 'v1', { accept: type }), index.bytes, index.digest, 'whoever does take it')
  }
})

onEachDriver('what exists is never 404 for its type', async (t, registry) => {
  const { pushImage, putManifest, getManifest, head } = registry
  const image = await pushImage('a', 'image')
  const { index } = await pushIndex(registry, 'index')
  for (const accept of [
    'text/html',
    SCHEMA1,
    DOCKER_IMAGE,
    `${IMAGE};q=0, ${INDEX};q=0`,
    '*/*;q=0',
    'application/json'
  ]) {
    holds(t, await getManifest('a', 'image', { accept }), image.bytes, image.digest, `image, ${accept}`)
    holds(t, await getManifest('a', 'index', { accept }), index.bytes, index.digest, `index, ${accept}`)
    told(t, await head('/v2/a/manifests/index', { accept }), 200, {}, `HEAD of the index, ${accept}`)
  }
  const arm = descriptor(image.bytes, IMAGE, { platform: ARM64 })
  const none: Record<string, object[]> = {
    'no entries': [],
    'no linux/amd64': [arm],
    'no platform': [descriptor(image.bytes, IMAGE)],
    'null for a platform': [descriptor(image.bytes, IMAGE, { platform: null })],
    'linux/amd64 is missing': [arm, { ...arm, digest: absent(), platform: AMD64 }],
    'linux/amd64 is an index': [descriptor(index.bytes, INDEX, { platform: AMD64 })],
    'linux/amd64 is a layer': [{ mediaType: LAYER, digest: absent(), size: 1, platform: AMD64 }]
  }
  for (const [what, manifests] of Object.entries(none)) {
    const bytes = json({ schemaVersion: 2, mediaType: INDEX, manifests })
    await putManifest('a', 'odd', bytes, INDEX)
    holds(t, await getManifest('a', 'odd', { accept: IMAGE }), bytes, digestOf(bytes), what)
  }
})

onEachDriver('If-None-Match on manifests', async (t, registry) => {
  const { pushImage } = registry
  const wire = await registry.wire()
  const image = await pushImage('a', 'v1')
  const etag = `"${image.digest}"`
  for (const reference of ['v1', image.digest]) {
    for (const given of [etag, `W/${etag}`, `"other", ${etag}`, `"other",W/"more",${etag}`, '*', image.digest]) {
      for (const method of ['GET', 'HEAD', 'GET']) {
        const answer = await wire.send(method, `/v2/a/manifests/${reference}`, { headers: { 'if-none-match': given } })
        told(t, answer, 304, { etag, vary: 'Accept', 'docker-content-digest': image.digest }, `${method}, ${given}`)
        t.equal(answer.body.length, 0)
      }
    }
    const other = await wire.getManifest('a', reference, { 'if-none-match': '"other"' })
    holds(t, other, image.bytes, image.digest, 'another tag')
  }
  const next = await pushImage('a', 'v1')
  const moved = await wire.getManifest('a', 'v1', { 'if-none-match': etag })
  holds(t, moved, next.bytes, next.digest, 'after the tag moved')
  told(t, await wire.getManifest('a', image.digest, { 'if-none-match': etag }), 304, {}, 'the old one, by digest')
})

onEachDriver('an Accept header may be spread over many lines', async (t, registry) => {
  const { index, amd } = await pushIndex(registry, 'v1')
  const ask = async (...accept: string[]): Promise<string> => {
    const { socket, until } = await openSocket(registry.app)
    const lines = accept.map(type => `Accept: ${type}`)
    socket.write(['GET /v2/a/manifests/v1 HTTP/1.1', 'Host: h', 'Connection: close', ...lines, '', ''].join('\r\n'))
    return until('never in it')
  }
  t.ok((await ask(SCHEMA1, DOCKER_LIST, DOCKER_IMAGE, IMAGE, INDEX)).endsWith(index.bytes.toString()))
  t.ok((await ask(INDEX, IMAGE)).endsWith(index.bytes.toString()))
  t.ok((await ask(SCHEMA1, DOCKER_IMAGE, IMAGE)).endsWith(amd.bytes.toString()))
  t.ok((await ask(`${INDEX};q=0`, '*/*')).endsWith(amd.bytes.toString()))
})

onEachDriver('sizes of manifests are told, whatever encoding the client takes', async (t, registry) => {
  const { pushImage, getManifest, head, get } = registry
  const wire = await registry.wire()
  const image = await pushImage('a', 'v1', { annotations: { long: 'x'.repeat(5000) } })
  const subject = descriptor(image.bytes, IMAGE)
  const referrer = await pushImage('a', undefined, { subject, annotations: { long: 'y'.repeat(5000) } })
  t.ok(referrer.digest)
  for (const encoding of ['identity', 'gzip', 'gzip, deflate, br, zstd', '*']) {
    const headers = { accept: `${IMAGE}, */*`, 'accept-encoding': encoding }
    for (const reference of ['v1', image.digest]) {
      const size = { 'content-length': String(image.bytes.length), 'content-encoding': undefined }
      holds(t, await getManifest('a', reference, headers), image.bytes, image.digest, `${reference}, ${encoding}`)
      told(t, await head(`/v2/a/manifests/${reference}`, headers), 200, size, `HEAD ${reference}, ${encoding}`)
    }
    for (const path of ['/v2/', '/v2/_catalog', '/v2/a/tags/list', `/v2/a/referrers/${image.digest}`]) {
      for (const client of [{ get, head }, wire]) {
        const got = await client.get(path, headers)
        const described = {
          'content-length': String(got.body.length),
          'content-encoding': undefined,
          'content-type': path.includes('referrers') ? INDEX : 'application/json'
        }
        told(t, got, 200, described, `GET ${path}, ${encoding}`)
        const headed = await client.head(path, headers)
        told(t, headed, 200, described, `HEAD ${path}, ${encoding}`)
        t.equal(headed.body.length, 0)
      }
    }
  }
})
