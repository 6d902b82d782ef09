import t, { type Test } from 'tap'
import { type Digest, parseDigest } from '../../src/registry/digest.ts'
import { referrerKey, referrersOf } from '../../src/registry/keys.ts'
import type { StorageDriver } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { holds, refused, told } from '../support/answers.ts'
import { nextOf, parse } from '../support/client.ts'
import {
  ALGORITHMS,
  ARTIFACT,
  absent,
  CONFIG,
  descriptor,
  digestOf,
  IMAGE,
  INDEX,
  indexOf,
  json,
  random
} from '../support/images.ts'
import { type Opened, onEachDriver, openRegistry } from '../support/registry.ts'

const SBOM = 'application/vnd.example.sbom.v1+json'
const SIGNATURE = 'application/vnd.example.signature'
/** As a Link has it, of a referrer that is not there. */
const PLACE = `${'0a'.repeat(16)}.${absent().replace(':', '-')}`

/** All referrers of a digest, page by page. */
async function everyPage({ must, get }: Opened, digest: string, query = ''): Promise<Record<string, unknown>[][]> {
  const pages: Record<string, unknown>[][] = []
  for (let next: string | undefined = `/v2/a/referrers/${digest}${query}`; next !== undefined && pages.length < 50; ) {
    const page = await must(200, get(next))
    pages.push(parse(page).manifests as Record<string, unknown>[])
    next = nextOf(page)
  }
  return pages
}

onEachDriver('a descriptor tells type, artifactType, annotations, digest and size', async (t, registry) => {
  const { pushImage, prepareImage, putManifest, get, referrers } = registry
  const image = await pushImage('a', 'v1')
  const subject = descriptor(image.bytes, IMAGE)
  const annotations = {
    'org.example.k': 'v é 😀',
    '': 'x',
    __proto__x: 'y',
    'org.opencontainers.image.created': '2026-01-01'
  }
  const prepare = async (more: object) => Buffer.from(await prepareImage('a', { subject, ...more }))
  const entry = descriptor(image.bytes, IMAGE)
  const pushed: [bytes: Buffer, type: string, told: object][] = [
    [await prepare({ artifactType: SBOM, annotations }), IMAGE, { artifactType: SBOM, annotations }],
    [await prepare({}), IMAGE, { artifactType: CONFIG }],
    [await prepare({ artifactType: '', annotations: {} }), IMAGE, { artifactType: CONFIG, annotations: {} }],
    [await prepare({ artifactType: null, annotations: null }), IMAGE, { artifactType: CONFIG }],
    [json(indexOf([entry], { subject, annotations: { n: '1' } })), INDEX, { annotations: { n: '1' } }],
    [json(indexOf([], { subject, artifactType: SIGNATURE })), INDEX, { artifactType: SIGNATURE }],
    [json(indexOf([entry], { subject, artifactType: '' })), INDEX, {}],
    [json({ mediaType: ARTIFACT, artifactType: SBOM, subject }), ARTIFACT, { artifactType: SBOM }],
    [
      json({ mediaType: 'application/x+json', artifactType: SBOM, subject }),
      'application/x+json',
      { artifactType: SBOM }
    ]
  ]
  for (const [bytes, type] of pushed) {
    told(t, await putManifest('a', digestOf(bytes), bytes, type), 201, { 'oci-subject': image.digest }, type)
  }
  const answer = await get(`/v2/a/referrers/${encodeURIComponent(image.digest)}`)
  told(t, answer, 200, { 'content-type': INDEX, link: undefined, 'oci-filters-applied': undefined }, 'referrers')
  t.equal(answer.headers['content-length'], String(answer.body.length))
  const { schemaVersion, mediaType, manifests } = parse(answer)
  t.strictSame({ schemaVersion, mediaType }, { schemaVersion: 2, mediaType: INDEX })
  const wanted = pushed.map(([bytes, mediaType, more]) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    ...more
  }))
  const byDigest = (a: object, b: object) =>
    JSON.stringify(a).match(/sha256:\w+/)! < JSON.stringify(b).match(/sha256:\w+/)! ? -1 : 1
  t.strictSame((manifests as object[]).sort(byDigest), wanted.sort(byDigest))
  t.strictSame(await referrers('b', image.digest), [], 'in another repository there are none')
  t.strictSame(await referrers('a', digestOf(image.bytes, 'sha512')), [], 'under its other digest there are none')
})

onEachDriver('OCI-Subject, for a subject there or not, and under either algorithm', async (t, registry) => {
  const { pushImage, prepareImage, putManifest, referrers, get } = registry
  const image = await pushImage('a', 'v1')
  told(t, image.answer, 201, { 'oci-subject': undefined }, 'no subject')
  for (const algorithm of ALGORITHMS) {
    for (const digest of [absent(algorithm), digestOf(image.bytes, algorithm)]) {
      const subject = { mediaType: IMAGE, digest, size: 5 }
      const [first, second] = [await prepareImage('a', { subject }), await prepareImage('a', { subject })]
      for (const [bytes, reference] of [
        [first, 'signed'],
        [second, digestOf(second, 'sha512')],
        [first, digestOf(first)],
        [first, 'signed']
      ] as const) {
        told(t, await putManifest('a', reference, bytes), 201, { 'oci-subject': digest }, `${algorithm}, ${reference}`)
      }
      const listed = (await referrers('a', digest)).map(entry => entry.digest)
      t.strictSame(listed, [digestOf(first), digestOf(second, 'sha512')], 'each is there once, whatever its tag')
    }
  }
  const late = await prepareImage('a')
  const signature = await pushImage('a', undefined, { subject: descriptor(late, IMAGE) })
  t.strictSame((await referrers('a', digestOf(late)))[0]?.digest, signature.digest, 'before its subject')
  await putManifest('a', 'late', late)
  t.strictSame((await referrers('a', digestOf(late)))[0]?.digest, signature.digest, 'and after it')
  for (const digest of ['sha256:a\r\nX-Injected: yes', 'nonsense', `sha256:${'é'.repeat(64)}`, '']) {
    const bytes = await prepareImage('a', { subject: { mediaType: IMAGE, digest, size: 5 } })
    const answer = await putManifest('a', 'odd', bytes)
    refused(t, answer, 400, 'DIGEST_INVALID', `subject ${JSON.stringify(digest)}`)
    told(t, answer, 400, { 'x-injected': undefined, 'oci-subject': undefined }, 'no header of it')
  }
  told(t, await get('/v2/a/manifests/odd'), 404, {}, 'none of these got in')
})

onEachDriver('of nothing, an empty list and never 404', async (t, { pushImage, pushBlob, get }) => {
  const image = await pushImage('a', 'v1')
  await pushBlob('blob/only', random(3))
  for (const name of ['a', 'blob/only', 'never/was/there']) {
    for (const digest of [image.digest, absent(), absent('sha512')]) {
      for (const query of ['', `?artifactType=${encodeURIComponent(SBOM)}`, `?last=${PLACE}`, '?ns=docker.io&n=1']) {
        const answer = await get(`/v2/${name}/referrers/${digest}${query}`)
        told(t, answer, 200, { 'content-type': INDEX, link: undefined }, `${name} ${digest}${query}`)
        t.strictSame(parse(answer), { schemaVersion: 2, mediaType: INDEX, manifests: [] })
      }
    }
  }
  for (const digest of [
    'sha256:short',
    'v1',
    `sha256:${'z'.repeat(64)}`,
    'sha256',
    'md5:00',
    '%00',
    '..%2f..',
    `${absent()}x`
  ]) {
    refused(t, await get(`/v2/a/referrers/${digest}`), 400, 'DIGEST_INVALID', `referrers of ${digest}`)
    refused(t, await get(`/v2/a/referrers/${absent()}?last=${digest}`), 400, 'DIGEST_INVALID', `after ${digest}`)
  }
})

onEachDriver('artifactType filters, and is told', async (t, registry) => {
  const { pushImage, get, referrers } = registry
  const image = await pushImage('a', 'v1')
  const subject = descriptor(image.bytes, IMAGE)
  const made: Record<string, string> = {}
  for (const artifactType of [SBOM, SIGNATURE])
    made[artifactType] = (await pushImage('a', undefined, { artifactType, subject })).digest
  made[CONFIG] = (await pushImage('a', undefined, { subject })).digest
  const url = `/v2/a/referrers/${image.digest}`
  const filters: [artifactType: string, found: string[]][] = [
    ...Object.entries(made).map(([type, digest]): [string, string[]] => [type, [digest]]),
    ['application/vnd.example.none', []],
    ['application/vnd.example', []],
    [SBOM.toUpperCase(), []],
    ['', []],
    ['a\r\nX-Injected: yes', []],
    ['undefined', []],
    ['__proto__', []]
  ]
  for (const [type, found] of filters) {
    for (let times = 0; times < 2; times++) {
      const answer = await get(`${url}?artifactType=${encodeURIComponent(type)}`)
      const headers = { 'oci-filters-applied': 'artifactType', 'content-type': INDEX, 'x-injected': undefined }
      told(t, answer, 200, headers, `artifactType ${JSON.stringify(type)}`)
      t.strictSame(
        (parse(answer).manifests as { digest: string }[]).map(({ digest }) => digest),
        found
      )
    }
    const whole = await get(url)
    told(t, whole, 200, { 'oci-filters-applied': undefined }, 'without a filter')
    t.equal((parse(whole).manifests as unknown[]).length, 3, 'all')
  }
  refused(t, await get(`${url}?artifactType=${SIGNATURE}&artifactType=x`), 400, 'UNSUPPORTED', 'two filters')
  t.equal((await referrers('a', image.digest, `?artifactType=${SIGNATURE}&ns=x&n=0`)).length, 1, 'what is not ours')
})

onEachDriver('15.32: an artifactType with a plus is found however the client writes it', async (t, registry) => {
  const { pushImage, referrers } = registry
  const { bytes, digest } = await pushImage('a', 'v1')
  const subject = { mediaType: IMAGE, digest, size: bytes.length }
  const attached = await pushImage('a', undefined, { subject, artifactType: 'application/spdx+json' })
  await pushImage('a', undefined, { subject, artifactType: 'application/spdx' })
  for (const type of ['application/spdx+json', 'application/spdx%2Bjson', 'application%2Fspdx%2bjson']) {
    const found = await referrers('a', digest, `?artifactType=${type}`)
    t.strictSame(
      found.map(descriptor => descriptor.digest),
      [attached.digest],
      type
    )
  }
})

onEachDriver('referrers attached at the same time are all there', async (t, registry) => {
  const { pushImage, prepareImage, putManifest, referrers, del } = registry
  const image = await pushImage('a', 'v1')
  const more = { subject: descriptor(image.bytes, IMAGE) }
  const list = await Promise.all(Array.from({ length: 10 }, () => prepareImage('a', more)))
  const pushes = [...list, ...list.slice(0, 3)].map(bytes => putManifest('a', digestOf(bytes), bytes))
  for (const answer of await Promise.all(pushes)) told(t, answer, 201, { 'oci-subject': image.digest }, 'PUT')
  const digests = list.map(bytes => digestOf(bytes)).sort()
  t.strictSame((await referrers('a', image.digest)).map(({ digest }) => digest).sort(), digests)

  const [deleted = '', ...left] = digests
  const added = await prepareImage('a', more)
  await Promise.all([del(`/v2/a/manifests/${deleted}`), putManifest('a', digestOf(added), added)])
  const after = (await referrers('a', image.digest)).map(({ digest }) => digest).sort()
  t.strictSame(after, [...left, digestOf(added)].sort(), 'one deleted, one added')
})

onEachDriver('a referrer stays with its subject until it is deleted, whatever its tags do', async (t, registry) => {
  const { pushImage, putManifest, getManifest, referrers, del } = registry
  const image = await pushImage('a', 'v1')
  const signature = await pushImage('a', 'sig', { subject: descriptor(image.bytes, IMAGE) })
  const listed = async () => (await referrers('a', image.digest)).map(({ digest }) => digest)
  await pushImage('a', 'sig')
  t.strictSame(await listed(), [signature.digest], 'its tag moved on')
  await del('/v2/a/manifests/sig')
  t.strictSame(await listed(), [signature.digest], 'its tag was deleted')
  await del(`/v2/a/manifests/${image.digest}`)
  t.strictSame(await listed(), [signature.digest], 'its subject was deleted')
  holds(t, await getManifest('a', signature.digest), signature.bytes, signature.digest, 'the referrer')
  told(t, await del(`/v2/a/manifests/${signature.digest}`), 202, {}, 'DELETE of the referrer')
  t.strictSame(await listed(), [], 'the referrer was deleted')
  told(t, await putManifest('a', 'sig', signature.bytes), 201, { 'oci-subject': image.digest }, 'pushed again')
  t.strictSame(await listed(), [signature.digest])

  const tag = image.digest.replace(':', '-')
  const fallback = json(indexOf([descriptor(signature.bytes, IMAGE)]))
  told(t, await putManifest('a', tag, fallback, INDEX), 201, {}, 'a tag of the fallback schema is a tag')
  holds(t, await getManifest('a', tag), fallback, digestOf(fallback), 'and comes back as it was')
})

onEachDriver('a page ends before 4 MiB, and its Link leads on', async (t, registry) => {
  const { pushImage, get } = registry
  const image = await pushImage('a', 'v1')
  const subject = descriptor(image.bytes, IMAGE)
  const pushed: string[] = []
  for (let index = 0; index < 12; index++) {
    const annotations = { long: 'x'.repeat(900_000), index: String(index) }
    pushed.push(
      (await pushImage('a', undefined, { subject, annotations, artifactType: index % 2 ? SBOM : SIGNATURE })).digest
    )
  }
  const largest = await pushImage('a', undefined, {
    subject,
    artifactType: SBOM,
    annotations: { long: 'y'.repeat(4_190_000) }
  })
  pushed.push(largest.digest)
  for (const [query, wanted] of [
    ['', pushed],
    [
      `?artifactType=${encodeURIComponent(SBOM)}`,
      pushed.filter((digest, index) => index % 2 || digest === largest.digest)
    ],
    [`?artifactType=${encodeURIComponent(SIGNATURE)}`, pushed.filter((_, index) => index % 2 === 0 && index < 12)],
    ['?artifactType=application/vnd.example.none', []]
  ] as const) {
    const pages = await everyPage(registry, image.digest, query)
    t.strictSame(
      pages
        .flat()
        .map(({ digest }) => String(digest))
        .sort(),
      [...wanted].sort(),
      `all of them, ${query}`
    )
    for (const [index, page] of pages.slice(0, -1).entries()) {
      const more = JSON.stringify([...page, pages[index + 1]![0]])
      t.ok(more.length > 4 * 1024 * 1024 - 65 * 1024, 'a page has as many as fit')
    }
    for (const page of pages)
      t.ok(JSON.stringify(page).length < 4 * 1024 * 1024 || page.length === 1, 'a page of less than 4 MiB')
  }
  const first = await get(`/v2/a/referrers/${image.digest}?artifactType=${encodeURIComponent(SBOM)}&ns=x`)
  const next = nextOf(first) ?? ''
  t.match(next, `/v2/a/referrers/${image.digest}?artifactType=${encodeURIComponent(SBOM)}&last=`)
  told(t, await get(next), 200, { 'oci-filters-applied': 'artifactType' }, 'the next page')
  const plain = nextOf(await get(`/v2/a/referrers/${image.digest}`)) ?? ''
  t.match(
    plain,
    /^\/v2\/a\/referrers\/sha256:[0-9a-f]+\?last=[0-9a-f]{32}\.sha256-[0-9a-f]{64}$/,
    'no filter where none was asked for'
  )
  told(t, await get(plain), 200, { 'oci-filters-applied': undefined }, 'the next page without a filter')
})

interface Referrer {
  digest: string
  artifactType: string
  annotations?: Record<string, string>
}

/** Referrers of a subject as the store has them, without the manifests: to push as many would take minutes. */
async function seed(storage: StorageDriver, subject: Digest, referrers: readonly Referrer[]): Promise<void> {
  for (const { digest, artifactType, annotations } of referrers) {
    const bytes = json({ mediaType: IMAGE, digest, size: 3, artifactType, annotations })
    const key = referrerKey('a', subject, { digest: parseDigest(digest), artifactType }, bytes.length)
    await storage.put(key, bytes)
  }
}

/** A registry whose calls of the store are counted. */
async function openCounted(t: Test) {
  const calls: string[] = []
  const storage = createMemory({ faults: (method, key) => void calls.push(`${method} ${key}`) })
  const registry = await openRegistry(t, storage)
  const made = (method: string) => calls.filter(call => call.startsWith(`${method} repositories/a/_referrers/`)).length
  return { ...registry, calls, made, subject: parseDigest(absent()) }
}

t.test('15.33: a filter comes before the page, among as many others as there may be', async t => {
  const registry = await openCounted(t)
  const { storage, subject, get, calls, made } = registry
  const others = Array.from({ length: 2500 }, () => ({ digest: absent(), artifactType: SBOM }))
  const signature = { digest: absent(), artifactType: SIGNATURE }
  await seed(storage, subject, [...others.slice(0, 1200), signature, ...others.slice(1200)])
  calls.length = 0
  const answer = await get(`/v2/a/referrers/${subject}?artifactType=${encodeURIComponent(SIGNATURE)}`)
  told(t, answer, 200, { link: undefined, 'oci-filters-applied': 'artifactType' }, 'the signature')
  t.match(parse(answer).manifests, [signature])
  t.strictSame([made('list'), made('get')], [1, 1], 'what was left out was not read')
  for (const [query, count] of [
    ['', 2501],
    [`?artifactType=${encodeURIComponent(SBOM)}`, 2500]
  ] as const) {
    const whole = await get(`/v2/a/referrers/${subject}${query}`)
    told(t, whole, 200, { link: undefined }, 'one answer holds as many as fit')
    t.equal((parse(whole).manifests as unknown[]).length, count)
  }
})

t.test('15.4: referrers cost what is returned', async t => {
  const registry = await openCounted(t)
  const { storage, subject, get, calls, made } = registry
  const annotations = { long: 'x'.repeat(4_000_000) }
  const large = Array.from({ length: 30 }, () => ({ digest: absent(), artifactType: SBOM, annotations }))
  await seed(storage, subject, [...large, { digest: absent(), artifactType: SIGNATURE }])
  const parsed = JSON.parse
  let read = 0
  JSON.parse = (text: string, ...more) => {
    read += text.length
    return parsed(text, ...more)
  }
  t.teardown(() => {
    JSON.parse = parsed
  })
  for (const [query, gets] of [
    [`?artifactType=${encodeURIComponent(SIGNATURE)}`, 1],
    ['?artifactType=none', 0],
    [`?artifactType=${encodeURIComponent(SBOM)}`, 1]
  ] as const) {
    calls.length = 0
    await get(`/v2/a/referrers/${subject}${query}`)
    t.strictSame([made('list'), made('get')], [1, gets], `${query}: listings, and descriptors that were read`)
  }
  t.ok(read < 10_000, `${read} characters of descriptors were parsed`)
  JSON.parse = parsed
  const pages = await everyPage(registry, subject)
  t.equal(pages.flat().length, 31, 'all are there')
  for (const page of pages) t.ok(page.length <= 2, 'in pages of 4 MiB')
})

t.test('15.4: pages that are read at once share the memory for them', async t => {
  const memory = createMemory()
  let [reading, most] = [0, 0]
  const storage: StorageDriver = {
    ...memory,
    get: async key => {
      if (!key.includes('/_referrers/')) return memory.get(key)
      reading++
      most = Math.max(most, reading)
      await new Promise(resolve => setTimeout(resolve, 5))
      reading--
      return memory.get(key)
    }
  }
  const MIB = 1024 * 1024
  const { get } = await openRegistry(t, storage, { bufferMemoryBytes: 8 * MIB, cacheMemoryBytes: 0 })
  const subject = parseDigest(absent())
  const annotations = { long: 'x'.repeat(3 * MIB) }
  await seed(
    memory,
    subject,
    Array.from({ length: 2 }, () => ({ digest: absent(), artifactType: SBOM, annotations }))
  )
  const answers = await Promise.all(Array.from({ length: 12 }, () => get(`/v2/a/referrers/${subject}`)))
  for (const answer of answers) t.equal((parse(answer).manifests as unknown[]).length, 1)
  t.ok(most <= 2, `${most} of 3 MiB were read at a time`)
})

t.test('15.4: a request makes a bounded number of listings, and its Link leads on', async t => {
  const registry = await openCounted(t)
  const { storage, subject, get, calls, made } = registry
  const digests = Array.from({ length: 40 }, () => parseDigest(absent())).sort()
  for (const digest of digests) {
    for (let index = 0; index < 1000; index++) {
      await storage.put(referrerKey('a', subject, { digest, artifactType: SBOM }, 2), Buffer.from('{}'))
    }
  }
  calls.length = 0
  let found = 0
  let pages = 0
  for (let next: string | undefined = `/v2/a/referrers/${subject}?artifactType=${encodeURIComponent(SBOM)}`; next; ) {
    const before = made('list')
    const answer = await get(next)
    t.ok(made('list') - before <= 33, `${made('list') - before} listings`)
    found += (parse(answer).manifests as unknown[]).length
    next = nextOf(answer)
    pages++
  }
  t.equal(found, 40)
  t.equal(pages, 2)
})

onEachDriver('15.4: a referrer that version 0.1 wrote is no obstacle', async (t, registry) => {
  const { pushImage, referrers, storage, get } = registry
  const image = await pushImage('a', 'v1')
  const { digest } = await pushImage('a', undefined, { subject: descriptor(image.bytes, IMAGE) })
  const subject = parseDigest(image.digest)
  await storage.put(`${referrersOf('a', subject)}${absent().replace(':', '-')}.0123456789abcdef`, json({}))
  t.strictSame(
    (await referrers('a', subject)).map(each => each.digest),
    [digest]
  )
  told(t, await get(`/v2/a/referrers/${subject}`), 200, { link: undefined }, 'and no page')
})
