import t from 'tap'
import { type Digest, digestBytes } from '../../src/registry/digest.ts'
import { createClock } from '../../src/registry/gc/clock.ts'
import { withoutWrites } from '../../src/registry/gc/dry-run.ts'
import { withLease } from '../../src/registry/gc/lease.ts'
import { createPace } from '../../src/registry/gc/pace.ts'
import { emptyReport } from '../../src/registry/gc/report.ts'
import { createCollector } from '../../src/registry/gc.ts'
import {
  allReferrersOf,
  allTaggedOf,
  catalogKey,
  contentKey,
  endedKey,
  GC_LEASE,
  hintKey,
  linkKey,
  linksOf,
  orphanKey,
  parseLink,
  recordKey,
  recordsOf,
  referrerKey,
  tagFolder,
  taggedKey,
  tagKey
} from '../../src/registry/keys.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { type Collecting, config, createCollecting, IMAGE_BYTES, image, LAYER, layer } from '../support/collecting.ts'
import { descriptor, IMAGE, INDEX, indexOf, json } from '../support/images.ts'
import { crash } from '../support/interleave.ts'
import { chunk, EXPIRY, GRACE, textOf } from '../support/world.ts'

const NOTHING = Buffer.alloc(0)
const any = (): boolean => true
const contentOf = async ({ keys }: Collecting, name: string, digest: Digest): Promise<string> =>
  parseLink((await keys(linksOf(name, digest)))[0]!).content
const kindOf = (refused: Promise<unknown>): Promise<unknown> =>
  refused.then(
    () => 'fulfilled',
    error => error.kind
  )

t.test('a blob that no manifest names is gone after three rounds and three graces', async t => {
  const world = createCollecting()
  await world.pushBlob('app', LAYER)
  const content = await contentOf(world, 'app', layer)
  const reports = []
  for (const ms of [GRACE, 1, GRACE, 1, GRACE, 1]) {
    world.pass(ms)
    reports.push({ ...(await world.collect()), durationMs: 0 })
    if (reports.length === 2) {
      const entry = await world.storage.get(orphanKey(content))
      t.equal(entry?.bytes.toString(), layer, 'the entry tells the digest')
      t.strictSame(await world.keys('catalog/'), [], 'the repository is empty, and not in the catalog')
    }
    if (reports.length === 4) t.equal((await world.storage.get(orphanKey(content)))?.bytes.toString(), 'gone')
  }
  const { length: bytes } = LAYER
  const nothing = emptyReport()
  t.strictSame(reports, [
    { ...nothing, repositories: 1 },
    { ...nothing, repositories: 1, links: 1, leftovers: 1 },
    nothing,
    { ...nothing, contents: 1, bytes },
    nothing,
    nothing
  ])
  t.strictSame(await world.keys(''), [], 'content, hint and entry as well')
})

t.test('what a manifest names stays, with the newest of its links', async t => {
  const world = createCollecting()
  await world.pushImage('app', 'v1')
  const before = await world.keys('')
  await world.rounds(3)
  t.strictSame(await world.keys(''), before, 'nothing goes')

  await world.registry.blobs.head('app', layer) // a new link for the old one
  const links = () => world.keys(linksOf('app', layer))
  t.equal((await links()).length, 2)
  const first = before.find(key => key.startsWith(linksOf('app', layer)))!
  await world.rounds(1)
  t.ok((await links()).length === 1 && !(await links()).includes(first), 'the older one goes')
  await world.rounds(1)
  t.equal((await links()).length, 1)
  t.strictSame(await world.keys('gc/'), [], 'its entry as well: the content has a link')
  t.equal(await textOf(world.registry, 'app', layer), 'a layer')
})

t.test('of links of the same age none is taken for the older one', async t => {
  const world = createCollecting()
  await world.pushImage('app')
  const content = await contentOf(world, 'app', layer)
  for (const _ of [1, 2]) await world.storage.put(linkKey('app', layer, content, LAYER.length), NOTHING)
  await world.rounds(2)
  t.equal((await world.keys(linksOf('app', layer))).length, 3)
})

t.test('a page that takes long makes no key seem older than one of the next page', async t => {
  const world = createCollecting()
  await world.pushImage('app')
  const content = await contentOf(world, 'app', layer)
  const [link] = await world.keys(linksOf('app', layer))
  // Whichever of the two comes first: the second is told with an age that is an hour more.
  await world.storage.put(linkKey('app', layer, content, LAYER.length), NOTHING)
  world.pass(GRACE + 1)
  const storage: StorageDriver = {
    ...world.storage,
    list: async (prefix, options) => {
      const entries = await world.storage.list(prefix, options)
      if (!options?.ages || !link!.startsWith(prefix)) return entries
      world.pass(3_600_000)
      return entries.map((entry, index) => ({ ...entry, ageMs: entry.ageMs! + (index % 2) * 3_600_000 }))
    }
  }
  await world.collector({ storage }).collect()
  t.equal((await world.keys(linksOf('app', layer))).length, 2)
})

t.test('word of a loss that took long is given again', async t => {
  const world = createCollecting()
  await world.pushBlob('app', LAYER)
  world.pass(GRACE + 1)
  let written = 0
  const storage: StorageDriver = {
    ...world.storage,
    put: async (key, bytes, options) => {
      if (key.startsWith('gc/orphans/') && ++written < 3) world.pass(GRACE / 4 + 1)
      return world.storage.put(key, bytes, options)
    }
  }
  await world.collector({ storage }).collect()
  t.equal(written, 3)
  t.strictSame(await world.keys(linksOf('app', layer)), [])
})

t.test('content that another repository links', async t => {
  const world = createCollecting()
  await world.pushBlob('app', LAYER)
  await world.pushImage('other')
  const content = await contentOf(world, 'other', layer)
  t.equal(await contentOf(world, 'app', layer), content)
  await world.registry.blobs.remove('app', layer)
  t.notOk(await world.registry.blobs.mount('third', layer, undefined), 'is not shared further while it has an entry')
  await world.rounds(1)
  t.strictSame(await world.keys('gc/'), [], 'the entry goes, as it is named')
  t.equal(await textOf(world.registry, 'other', layer), 'a layer')
  t.ok(await world.registry.blobs.mount('third', layer, undefined), 'and it is shared again')
})

/** Runs `work` when the collector has listed the links of this repository for its contents. */
function during(world: Collecting, name: string, work: () => Promise<unknown>): StorageDriver {
  const all = linksOf(name, layer).replace(/[^/]+\/[^/]+\/$/, '')
  let done = false
  return {
    ...world.storage,
    list: async (prefix, options) => {
      const entries = await world.storage.list(prefix, options)
      // Links are listed with ages where they are picked, and without for contents.
      if (prefix === all && !options?.ages && options?.limit === 1000 && !done) {
        done = true
        await work()
      }
      return entries
    }
  }
}

t.test('a link that is mounted elsewhere and goes while links are listed', async t => {
  for (const listingMs of [0, GRACE * 2]) {
    const world = createCollecting()
    await world.pushBlob('b', LAYER)
    const content = await contentOf(world, 'b', layer)
    await world.storage.put(orphanKey(content), Buffer.from(layer)) // it lost a link long ago
    world.pass(GRACE + 1)
    await world.pushBlob('a', Buffer.from('else'))
    await world.registry.blobs.rely('b', layer)
    const storage = during(world, 'a', async () => {
      await world.registry.blobs.mount('a', layer, 'b')
      await world.registry.blobs.remove('b', layer)
      world.pass(listingMs)
    })
    await world.collector({ storage }).collect({})
    t.ok(await world.storage.stat(contentKey(content)), `the content stays, after ${listingMs} ms of listing`)
    t.equal(await textOf(world.registry, 'a', layer), 'a layer')
  }
})

t.test('the entry of content that was named is left where the listing took long', async t => {
  for (const [listingMs, entries] of [
    [GRACE / 2, 0],
    [GRACE / 2 + 1, 1]
  ] as const) {
    const world = createCollecting()
    await world.pushImage('app')
    await world.storage.put(orphanKey(await contentOf(world, 'app', layer)), Buffer.from(layer))
    world.pass(GRACE + 1)
    const storage = during(world, 'app', async () => world.pass(listingMs))
    await world.collector({ storage }).collect()
    t.equal((await world.keys('gc/')).length, entries, `after ${listingMs} ms of listing`)
  }
})

t.test('a hint goes with the content that it names, and only with that', async t => {
  const world = createCollecting()
  await world.pushBlob('app', LAYER)
  await world.registry.blobs.remove('app', layer)
  await world.pushImage('app') // with content of its own, which the hint names from now on
  await world.rounds(3)
  t.ok(await world.storage.stat(hintKey(layer)))
  t.equal((await world.keys('content/')).length, 2)
  t.ok(await world.registry.blobs.mount('other', layer, undefined))
})

t.test('what a collector leaves that dies between a content and its hint', async t => {
  const world = createCollecting()
  await world.pushBlob('app', LAYER)
  await world.registry.blobs.remove('app', layer)
  world.pass(GRACE + 1)
  world.broken.add('delete digests/')
  await t.rejects(world.collect(), { message: /broken/ })
  world.broken.clear()
  t.strictSame(
    (await world.keys('')).map(key => key.split('/')[0]),
    ['digests', 'gc'],
    'the content is gone'
  )
  await world.collect()
  const [entry = ''] = await world.keys('')
  t.equal((await world.storage.get(entry))?.bytes.toString(), 'gone', 'the hint is next')
  world.pass(GRACE)
  await world.collect()
  t.strictSame(await world.keys(''), [entry], 'the entry stays a grace longer than the content')
  world.pass(1)
  await world.collect()
  t.strictSame(await world.keys(''), [])
})

t.test('content of an upload that died before its link', async t => {
  const world = createCollecting()
  const { uploads } = world.registry
  const session = await uploads.start('app')
  const [id = ''] = session.split('.')
  await uploads.append('app', session, chunk(LAYER.toString()))
  world.pass(GRACE + 1)
  await world.collect()
  t.equal((await uploads.status('app', session)).size, LAYER.length, 'an open one is none of this')

  world.broken.add('put repositories/')
  await t.rejects(uploads.finish('app', session, layer, chunk()), { message: /broken/ })
  world.broken.clear()
  await world.storage.delete([endedKey(id)]) // as if it had died before that
  world.pass(GRACE)
  await world.collect()
  t.strictSame(await world.keys('gc/'), [], 'content as old as the grace is left alone')
  world.pass(1)
  await world.collect()
  t.strictSame(await world.keys('gc/'), [orphanKey(id)], 'older content gets an entry')
  world.pass(GRACE / 2)
  t.equal(await kindOf(uploads.finish('app', session, layer, chunk())), 'upload-unknown', 'and nobody links it then')
  await world.rounds(2)
  t.strictSame(await world.keys('content/'), [])
})

t.test('a small blob whose PUT died anywhere', async t => {
  for (let calls = 0, ended = false; !ended; calls++) {
    const world = createCollecting()
    const session = await world.registry.uploads.start('app')
    const push = () =>
      world.process({ smallBytes: 1024 }).uploads.finish('app', session, layer, chunk(LAYER.toString()))
    ended = (await crash(calls, push)).ended
    world.pass(GRACE + 1)
    await world.collect()
    const again = await kindOf(push())
    const pushed = await kindOf(world.registry.blobs.get('app', layer))
    t.equal(again, pushed === 'fulfilled' ? pushed : 'upload-unknown', `after ${calls} calls, repeated: ${again}`)
    await world.rounds(3)
    t.strictSame(await world.keys('content/'), [], 'no bytes are left')
    await kindOf(push())
    t.strictSame(await world.keys('content/'), [], 'and no end brings them back')
  }
})

t.test('content that gets its entry while its upload is being closed', async t => {
  const world = createCollecting()
  const { uploads } = world.registry
  const session = await uploads.start('app')
  await uploads.append('app', session, chunk(LAYER.toString()))
  // A bucket may tell the age that the upload has, not the object: an hour of reading is long then.
  const storage: StorageDriver = {
    ...world.storage,
    read: async (key, range) => {
      world.pass(GRACE + 1)
      await world.collect()
      world.pass(GRACE / 2 - 1)
      return world.storage.read(key, range)
    }
  }
  await world.process({ storage }).uploads.finish('app', session, layer, chunk())
  t.equal((await world.keys('gc/')).length, 1)
  await world.rounds(3)
  t.strictSame(await world.keys('gc/'), [])
  t.strictSame(await world.keys('content/'), [], 'which no manifest names')
})

t.test('content of a deleted blob, whose upload nobody remembers to have ended', async t => {
  const world = createCollecting()
  const { uploads, blobs } = world.registry
  const session = await uploads.start('app')
  await uploads.finish('app', session, layer, chunk(LAYER.toString()))
  await world.storage.delete(await world.keys('ended/')) // as a power cut may
  await blobs.remove('app', layer)
  world.pass(GRACE / 2)
  t.equal(await kindOf(uploads.finish('app', session, layer, chunk())), 'upload-unknown', 'is not linked any more')
})

t.test('a collection stops when the clock is set or the machine stands still', async t => {
  let [wall, steady] = [1e12, 0]
  const clock = createClock(
    () => wall,
    () => steady
  )
  const pass = (ms: number, ticks = ms): number => {
    wall += ms
    steady += ticks
    return clock()
  }
  t.equal(pass(0), 1e12)
  t.equal(pass(3_600_000, 3_601_000), 1e12 + 3_600_000, 'a clock may drift')
  t.throws(() => pass(1000, 0), { message: /1000 ms apart/ })
  t.throws(() => pass(1000), 'and stays stopped')
  t.throws(() => pass(-3000, 1000))
  t.type((await createCollector({ ...createCollecting().options(), now: undefined }).collect()).durationMs, 'number')
})

t.test('content that was committed while its upload is still open', async t => {
  const world = createCollecting()
  const id = crypto.randomUUID()
  await world.storage.put(contentKey(id), LAYER)
  const source = (async function* () {
    yield LAYER
  })()
  world.pass(GRACE + 1)
  await world.storage.append(id, source, { from: undefined, writer: 'w', key: contentKey(id) })
  await world.collect()
  t.strictSame(await world.keys('gc/'), [])
  await world.storage.abort(id)
  await world.collect()
  t.strictSame(await world.keys('gc/'), [orphanKey(id)])
})

t.test('files that are not ours', async t => {
  const world = createCollecting()
  await world.storage.put('content/00/README.txt', NOTHING)
  await world.pushBlob('app', LAYER)
  await world.rounds(4)
  t.strictSame(await world.keys(''), ['content/00/README.txt'])
})

/** Pushes a manifest of its own for each name, in the order they stand; returns their digests. */
async function pushManifests(world: Collecting, manifests: Record<string, () => { tag?: string; bytes: Buffer }>) {
  const digests: Record<string, Digest> = {}
  for (const [name, make] of Object.entries(manifests)) {
    const { tag, bytes } = make()
    digests[name] = digestBytes(bytes)
    const reference = tag === undefined ? { digest: digests[name] } : { tag }
    await world.registry.manifests.put('app', reference, bytes, INDEX)
  }
  return digests
}

t.test('manifests that no tag leads to', async t => {
  const world = createCollecting()
  const made: Record<string, Buffer> = {}
  const manifest =
    (title: string, { tag, entries = [], subject }: { tag?: string; entries?: string[]; subject?: string } = {}) =>
    () => {
      const children = entries.map(entry => descriptor(made[entry]!, INDEX))
      const more = { annotations: { title }, ...(subject && { subject: descriptor(made[subject]!, INDEX) }) }
      made[title] = json(indexOf(children, more))
      return { bytes: made[title], ...(tag && { tag }) }
    }
  const old = {
    child: manifest('child'),
    index: manifest('index', { entries: ['child'] }),
    root: manifest('root', { tag: 'v1', entries: ['index'] }),
    signature: manifest('signature', { subject: 'child' }),
    'signature of it': manifest('signature of it', { subject: 'signature' }),
    lone: manifest('lone'),
    'index of lone ones': manifest('index of lone ones', { entries: ['lone'] }),
    'signature of a lone one': manifest('signature of a lone one', { subject: 'lone' }),
    'signature of that': manifest('signature of that', { subject: 'signature of a lone one' }),
    moved: manifest('moved', { tag: 'v2' }),
    subject: manifest('subject'),
    'tagged signature': manifest('tagged signature', { tag: 'sig', subject: 'subject' }),
    'child of a young one': manifest('child of a young one')
  }
  const digests = await pushManifests(world, old)
  world.pass(GRACE + 1)
  Object.assign(
    digests,
    await pushManifests(world, {
      young: manifest('young', { entries: ['child of a young one'] }),
      'in its place': manifest('in its place', { tag: 'v2' })
    })
  )
  const left = async (): Promise<string[]> => {
    const there = await Promise.all(
      Object.entries(digests).map(async ([name, digest]) =>
        (await kindOf(world.registry.manifests.get('app', { digest }, any))) === 'fulfilled' ? [name] : []
      )
    )
    return there.flat()
  }
  const all = await left()
  await world.collect()
  t.strictSame(await left(), all, 'stay when the operator does not ask for them')
  const { manifests } = await world.collect({ untagged: true })
  const gone = ['lone', 'index of lone ones', 'signature of a lone one', 'signature of that', 'moved', 'subject']
  t.strictSame(
    all.filter(name => !gone.includes(name)),
    await left()
  )
  t.equal(manifests, gone.length)
  t.strictSame((await world.registry.referrers.list('app', digests.lone!)).descriptors, [], 'and their referrers')
  t.equal((await world.registry.referrers.list('app', digests.child!)).descriptors.length, 1)
})

t.test('a subject that is pushed again keeps what refers to it', async t => {
  const world = createCollecting()
  const subject = json(indexOf([]))
  const referrer = json(indexOf([], { subject: descriptor(subject, INDEX) }))
  const digests = await pushManifests(world, {
    subject: () => ({ bytes: subject }),
    referrer: () => ({ bytes: referrer })
  })
  world.pass(GRACE + 1)
  let pushed = false
  const storage: StorageDriver = {
    ...world.storage,
    delete: async (keys, options) => {
      // The collector has decided that both go.
      if (keys.some(key => key.startsWith(recordsOf('app', digests.subject!))) && !pushed) {
        pushed = true
        await world.registry.manifests.put('app', { tag: 'v1' }, subject, INDEX)
      }
      return world.storage.delete(keys, options)
    }
  }
  await world.collector({ storage }).collect({ untagged: true })
  for (const digest of Object.values(digests)) {
    t.equal(await kindOf(world.registry.manifests.get('app', { digest }, any)), 'fulfilled')
  }
})

t.test('links that only an untagged manifest needs go in the same round', async t => {
  const world = createCollecting()
  await world.pushImage('app')
  world.pass(GRACE + 1)
  const { manifests, links } = await world.collect({ untagged: true })
  t.strictSame({ manifests, links }, { manifests: 1, links: 2 })
  await world.rounds(2)
  t.strictSame(await world.keys(''), [])
})

t.test('records that a newer one stands for', async t => {
  const world = createCollecting()
  await world.pushImage('app', 'v1')
  world.pass(GRACE / 2)
  await world.pushImage('app', 'v1')
  const records = () => world.keys(recordsOf('app', image))
  const [two, newest] = [await records(), GRACE / 2]
  world.pass(newest)
  await world.collect()
  t.strictSame(await records(), two, 'both as old as the grace or younger')
  await world.rounds(1)
  t.strictSame(await records(), two.slice(0, 1), 'the first one says what the manifest is')
  t.equal((await world.registry.manifests.get('app', { tag: 'v1' }, any)).digest, image)
})

t.test('what dangles goes once it is older than the grace', async t => {
  const gone = digestBytes(Buffer.from('gone'))
  const dangling: Record<string, (nonce: string) => string[]> = {
    'a tag': nonce => [tagKey('app', 'lost', 3, nonce, gone), taggedKey('app', gone, 'lost', nonce)],
    'a tag, with values below it': nonce => [
      tagKey('app', 'lost', 3, nonce, gone),
      tagKey('app', 'lost', 2, nonce, image),
      tagKey('app', 'lost', 1, nonce, gone)
    ],
    'a value below the one that counts': nonce => [tagKey('app', 'v1', 0, nonce, image)],
    'a referrer': () => [referrerKey('app', image, { digest: gone, artifactType: undefined }, 2)],
    'a referrer, more than once': () =>
      [1, 2, 3].map(() => referrerKey('app', image, { digest: gone, artifactType: undefined }, 2)),
    'the reverse of a value': nonce => [taggedKey('app', image, 'v1', nonce), taggedKey('app', gone, 'lost', nonce)]
  }
  for (const [what, make] of Object.entries(dangling)) {
    const world = createCollecting()
    await world.pushImage('app', 'v1')
    const before = await world.keys('')
    const keys = make('0123456789abcdef')
    for (const key of keys) await world.storage.put(key, json({}))
    world.pass(GRACE)
    await world.collect()
    const stays = async () => (await world.keys('')).filter(key => keys.includes(key)).length
    t.equal(await stays(), keys.length, `${what}: not before`)
    world.pass(1)
    await world.collect()
    t.strictSame(await world.keys(''), before, `${what}: and nothing else`)
  }
})

t.test('of keys by which a manifest refers to a subject the newest stays', async t => {
  const world = createCollecting()
  const subject = json(indexOf([]))
  const referrer = json(indexOf([], { subject: descriptor(subject, INDEX) }))
  await pushManifests(world, { referrer: () => ({ bytes: referrer }) })
  const before = await world.keys(allReferrersOf('app'))
  const [older] = before
  world.pass(GRACE)
  await world.storage.put(
    referrerKey('app', digestBytes(subject), { digest: digestBytes(referrer), artifactType: undefined }, 2),
    json({})
  )
  world.pass(1)
  await world.collect()
  const left = await world.keys(allReferrersOf('app'))
  t.equal(left.length, 1)
  t.not(left[0], older)
})

t.test('a dangling tag goes oldest value first', async t => {
  const world = createCollecting()
  await world.pushImage('app')
  const gone = digestBytes(Buffer.from('gone'))
  await world.storage.put(tagKey('app', 'lost', 1, 'a', image), NOTHING)
  world.pass(GRACE)
  await world.storage.put(tagKey('app', 'lost', 2, 'b', gone), NOTHING)
  world.pass(GRACE + 1)
  world.calls.length = 0
  await world.collect()
  const order = world.calls.filter(call => call.startsWith(`delete ${tagFolder('app', 'lost')}`))
  t.strictSame(
    order.map(call => call.split('.')[1]),
    ['a', 'b']
  )
})

t.test('the catalog is mended', async t => {
  const world = createCollecting()
  await world.pushImage('team/app')
  await world.pushImage('team')
  await world.storage.delete([catalogKey('team/app')])
  await world.storage.put(catalogKey('empty'), NOTHING)
  const { leftovers } = await world.collect()
  t.strictSame((await world.registry.repositories.list({ n: 9 })).items, ['team', 'team/app'])
  t.equal(leftovers, 1)
})

t.test('idle upload sessions', async t => {
  const world = createCollecting()
  const { uploads } = world.registry
  const [idle, cancelled] = [await uploads.start('app'), await uploads.start('app')]
  await uploads.append('app', idle, chunk('five.'))
  await uploads.cancel('app', cancelled)
  world.pass(EXPIRY)
  t.match(await world.collect(), { sessions: 0, bytes: 0 })
  world.pass(1)
  t.match(await world.collect(), { sessions: 1, bytes: 5 })
  t.strictSame(await world.uploads(), [])
  t.strictSame(await world.keys('ended/'), [])
})

t.test('a manifest that can not be read', async t => {
  const world = createCollecting()
  await world.pushBlob('app', LAYER)
  await world.pushBlob('other', LAYER)
  for (const bytes of ['', '{"mediaType":"x"}\n{}'])
    await world.storage.put(recordKey('app', image, 2, 1), Buffer.from(bytes))
  world.pass(GRACE + 1)
  for (const untagged of [false, true]) {
    const { problems } = await world.collect({ untagged })
    t.match(problems, [{ repository: 'app', message: new RegExp(image) }])
  }
  t.equal((await world.keys(linksOf('app', layer))).length, 1, 'nothing goes that it may need')
  t.equal((await world.keys(recordsOf('app', image))).length, 1, 'nor does the first of its records')
  t.equal((await world.keys(linksOf('other', layer))).length, 0, 'others are looked at')
})

/** A registry with something of each kind to take. */
async function untidy(): Promise<Collecting> {
  const world = createCollecting()
  const { uploads, blobs, manifests } = world.registry
  await uploads.append('app', await uploads.start('app'), chunk('idle'))
  await world.pushBlob('deleted', Buffer.from('deleted'))
  await blobs.remove('deleted', digestBytes(Buffer.from('deleted')))
  await world.pushImage('app')
  await world.pushImage('team/app', 'v1')
  const referrer = json(indexOf([], { subject: descriptor(IMAGE_BYTES, IMAGE) }))
  await manifests.put('app', { digest: digestBytes(referrer) }, referrer, INDEX)
  for (let n = 0; n < 5; n++) await world.pushBlob(`many/app${n}`, Buffer.from(`blob ${n}`))
  await world.storage.put(taggedKey('app', image, 'lost', 'cafe'), NOTHING)
  await world.storage.put(catalogKey('empty'), NOTHING)
  await world.storage.put(contentKey('00000000-0000-4000-8000-000000000000'), LAYER)
  world.pass(EXPIRY + 1)
  return world
}

t.test('a dry run writes nothing and tells what would go', async t => {
  const world = await untidy()
  const before = await world.keys('')
  world.calls.length = 0
  const dry = await world.collector({ storage: withoutWrites(world.storage) }).collect({ untagged: true })
  t.strictSame(
    world.calls.filter(call => !/^(list|listUploads|get|stat|upload) /.test(call)),
    []
  )
  t.strictSame(await world.keys(''), before)
  t.equal((await world.uploads()).length, 1)
  const wet = await world.collect({ untagged: true })
  // What goes with a manifest dangles only when that is gone, and so does the catalog entry of an emptied repository.
  const fields = ['repositories', 'manifests', 'contents', 'sessions', 'bytes'] as const
  for (const field of fields) t.equal(dry[field], wet[field], field)
  t.strictSame([wet.manifests, wet.contents, wet.sessions, wet.bytes], [2, 1, 1, 'deleted'.length + 'idle'.length])
  await t.rejects(withoutWrites(world.storage).commit('x', 'y', undefined), 'an upload is none of a dry run')
})

t.test('batches and pages of any size come to the same', async t => {
  const results: unknown[][] = []
  for (const batch of [1, 2, 3, 1000]) {
    const reports: unknown[] = []
    const world = await untidy()
    const { collect } = world.collector({ batch })
    for (let round = 0; round < 3; round++) {
      const { durationMs: _, ...report } = await collect({ untagged: true })
      reports.push(report)
      world.pass(GRACE + 1)
    }
    t.equal((await world.keys('content/')).length, 2, `${batch}: what team/app holds`)
    t.strictSame(await world.keys('gc/'), [])
    results.push(reports)
  }
  for (const reports of results) t.strictSame(reports, results[0])
})

t.test('more than fits a page', async t => {
  const world = createCollecting()
  await world.pushImage('app', 'v1')
  const put = (key: string) => world.storage.put(key, NOTHING)
  for (let n = 0; n < 2100; n++) {
    const id = `${n.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`
    const digest = digestBytes(Buffer.from(id))
    await put(contentKey(id))
    if (n % 2) await put(linkKey('app', digest, id, 0))
    await put(taggedKey('app', digest, 'lost', 'cafe'))
    await put(catalogKey(`empty/app${n}`))
  }
  const deleted: number[] = []
  const storage: StorageDriver = {
    ...world.storage,
    delete: (keys, options) => {
      if (keys[0]?.includes('/_blobs/')) deleted.push(keys.length)
      return world.storage.delete(keys, options)
    }
  }
  world.pass(GRACE + 1)
  await world.collector({ storage }).collect()
  t.strictSame(deleted, [1000, 50], 'what one DeleteObjects of S3 takes goes at once')
  await world.rounds(2)
  t.equal((await world.keys('content/')).length, 2)
  t.equal((await world.keys('repositories/')).length, 5)
  t.equal((await world.keys('catalog/')).length, 1)
})

t.test('only the repositories that a pattern matches', async t => {
  for (const [pattern, expected] of [
    ['app', ['app']],
    ['team/*', ['team/app']],
    ['team/**', ['team/app', 'team/b/app']],
    ['*', ['app', 'team']],
    ['**app', ['app', 'team/app', 'team/b/app']],
    ['te.m/*', []]
  ] as const) {
    const world = createCollecting()
    const all = ['app', 'team/app', 'team/b/app', 'team']
    for (const name of all) await world.pushBlob(name, LAYER)
    world.pass(GRACE + 1)
    const { repositories, links } = await world.collect({ repository: pattern })
    const left = (await world.keys('repositories/')).map(key => key.split('/_')[0]!.slice('repositories/'.length))
    t.strictSame(left.sort(), all.filter(name => !(expected as readonly string[]).includes(name)).sort(), pattern)
    t.strictSame([repositories, links], [expected.length, expected.length])
    const entries = await world.keys('gc/')
    world.pass(GRACE + 1)
    await world.collect({ repository: pattern })
    t.strictSame(await world.keys('gc/'), entries, 'contents are of all repositories, and not looked at')
  }
})

t.test('a collection that is called off', async t => {
  const world = await untidy()
  const reason = new Error('closing')
  await t.rejects(world.collect({ signal: AbortSignal.abort(reason) }), reason)

  const closing = new AbortController()
  const storage: StorageDriver = {
    ...world.storage,
    list: async (prefix, options) => {
      const entries = await world.storage.list(prefix, options)
      if (options?.ages && prefix === 'gc/orphans/') closing.abort(reason)
      return entries
    }
  }
  const contents = await world.keys('content/')
  await t.rejects(world.collector({ storage }).collect({ signal: closing.signal }), reason, 'before the next deletions')
  t.strictSame(await world.keys('content/'), contents)
})

t.test('a collection beside requests rests for most of the time', async t => {
  const work = (): void => {
    for (const end = performance.now() + 30; performance.now() < end; ) {}
  }
  const rested = async (pace: () => Promise<void>): Promise<number> => {
    work()
    const begun = performance.now()
    await pace()
    return performance.now() - begun
  }
  t.ok((await rested(createPace(0.25, undefined))) > 80, 'three times as long as it worked')
  const closing = new AbortController()
  const ended = t.rejects(
    rested(createPace(0.0001, closing.signal)),
    { name: 'AbortError' },
    'but no longer than it is open'
  )
  closing.abort()
  await ended
  const world = await untidy()
  t.match(await world.collector({ share: 0.5 }).collect(), { sessions: 1 })
})

t.test('one collector works at a time', async t => {
  const world = createCollecting()
  const works: string[] = []
  const first = await withLease(world.storage, async () => {
    t.equal(await withLease(world.storage, async () => works.push('second')), undefined, 'while another does')
    world.pass(5 * 60 * 1000 + 1)
    t.ok(await withLease(world.storage, async () => works.push('third')), 'which seems to have died')
    return 'first'
  })
  t.equal(first, 'first')
  t.strictSame(works, ['third'])
  await t.rejects(
    withLease(world.storage, async () => {
      throw new Error('stopped')
    }),
    { message: 'stopped' }
  )
  t.strictSame(await world.keys(GC_LEASE), [], 'the lease goes with it')
})

t.test('why something is kept', async t => {
  const world = createCollecting()
  await world.pushImage('app')
  const index = json(indexOf([descriptor(IMAGE_BYTES, IMAGE)]))
  const signature = json(indexOf([], { subject: descriptor(IMAGE_BYTES, IMAGE) }))
  const digests = await pushManifests(world, {
    index: () => ({ bytes: index, tag: 'v1' }),
    signature: () => ({ bytes: signature })
  })
  await world.registry.blobs.mount('other', layer, 'app')
  world.pass(GRACE + 1)
  const { why } = world.collector()
  t.strictSame(await why('app', image), {
    manifest: {
      ageMs: GRACE + 1,
      keepers: [{ tag: 'v1' }, { index: digests.index }],
      tags: [],
      indexes: [digests.index],
      subject: undefined,
      referrers: [digests.signature]
    }
  })
  t.strictSame((await why('app', digests.index!)).manifest?.tags, ['v1'])
  t.match(await why('app', digests.signature!), {
    manifest: { keepers: [{ tag: 'v1' }, { index: digests.index }, { subject: image }], subject: image }
  })
  const content = await contentOf(world, 'app', layer)
  const blob = { size: LAYER.length, ageMs: GRACE + 1, manifests: [image], content, elsewhere: ['other'] }
  t.strictSame(await why('app', layer), { blob: { ...blob, entryAgeMs: undefined } })
  await world.registry.blobs.remove('other', layer)
  world.pass(5)
  t.strictSame(await why('app', layer), { blob: { ...blob, ageMs: GRACE + 6, elsewhere: [], entryAgeMs: 5 } })
  await world.registry.manifests.remove('app', { tag: 'v1' })
  t.strictSame((await why('app', image)).manifest?.keepers, [], 'nothing does')
  await pushManifests(world, { again: () => ({ bytes: index }) })
  t.strictSame((await why('app', digests.index!)).manifest?.keepers, [{ young: true }])
  t.equal(await kindOf(why('other', layer)), 'manifest-unknown')
})

t.test('a repository is deleted whole', async t => {
  const world = createCollecting()
  for (const name of ['app', 'app/below']) {
    await world.pushImage(name, 'v1')
    const referrer = json(indexOf([], { subject: descriptor(IMAGE_BYTES, IMAGE) }))
    await world.registry.manifests.put(name, { digest: digestBytes(referrer) }, referrer, INDEX)
  }
  const { remove } = world.collector()
  const content = await contentOf(world, 'app', config)
  world.broken.add('delete repositories/app/_blobs/')
  await t.rejects(remove('app'), { message: /broken/ })
  t.ok(await world.storage.stat(orphanKey(content)), 'word of the loss comes before it')
  world.broken.clear()
  t.match(await remove('app'), { links: 2, manifests: 0 })
  t.strictSame(
    (await world.keys('')).filter(key => /^repositories\/app\/_/.test(key)),
    []
  )
  t.strictSame((await world.registry.repositories.list({ n: 9 })).items, ['app/below'])
  t.equal(await kindOf(remove('app')), 'name-unknown')
  for (const all of [allReferrersOf, allTaggedOf]) t.equal((await world.keys(all('app/below'))).length, 1)
  await world.rounds(3)
  t.equal(await textOf(world.registry, 'app/below', layer), 'a layer', 'the other keeps what they shared')
})

t.test('what a collection asks of the store: listings, and reads of small objects', async t => {
  const calls = async (blobs: number): Promise<Map<string, number>> => {
    const world = createCollecting()
    for (let n = 0; n < blobs; n++) {
      const id = `${n.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`
      await world.storage.put(contentKey(id), NOTHING)
      await world.storage.put(linkKey('app', digestBytes(Buffer.from(id)), id, 0), NOTHING)
    }
    const layers = Array.from({ length: blobs }, (_, n) => {
      const id = `${n.toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`
      return { mediaType: 'a/layer', digest: digestBytes(Buffer.from(id)), size: 0 }
    })
    const bytes = json({ schemaVersion: 2, mediaType: IMAGE, config: layers[0], layers })
    await world.registry.manifests.put('app', { tag: 'v1' }, bytes, IMAGE)
    world.pass(GRACE + 1)
    world.calls.length = 0
    await world.collect({ untagged: true })
    const counts = new Map<string, number>()
    for (const call of world.calls) {
      const method = call.slice(0, call.indexOf(' '))
      counts.set(method, (counts.get(method) ?? 0) + 1)
    }
    return counts
  }
  const [few, many] = [await calls(10), await calls(3000)]
  t.notOk(many.has('read'), 'no body is streamed')
  for (const method of ['get', 'stat', 'put', 'upload']) t.equal(many.get(method), few.get(method), method)
  const pages = (many.get('list') ?? 0) - (few.get('list') ?? 0)
  t.ok(pages <= 4 * 3, `${pages} more pages of 1,000, of links, contents and tags`)
})

/** A store that has room for so many more keys, and then is full. */
async function withRoom({ storage, keys }: Collecting, more: number) {
  const used = new Set(await keys(''))
  const most = used.size + more
  const bounded: StorageDriver = {
    ...storage,
    put: async (key, bytes, options) => {
      if (!used.has(key) && used.size >= most) throw new StorageError('full', `no room for ${key}`)
      used.add(key)
      return storage.put(key, bytes, options)
    },
    delete: async (keys, options) => {
      await storage.delete(keys, options)
      for (const key of keys) used.delete(key)
    }
  }
  return bounded
}

t.test('15.5: a repository is deleted whole on a store that has room for one key', async t => {
  for (const room of [1, 7, 100]) {
    const world = createCollecting()
    for (let number = 0; number < 20; number++) await world.pushBlob('app', Buffer.from(`layer ${number}`))
    const storage = await withRoom(world, room)
    const report = await world.collector({ storage }).remove('app')
    t.equal(report.links, 20)
    t.strictSame(await world.keys('repositories/'), [])
    t.equal((await world.keys('gc/orphans/')).length, 20, 'each content has its entry')
    await world.rounds(3)
    t.strictSame(await world.keys('content/'), [])
  }
  const world = createCollecting()
  for (const text of ['one', 'two']) await world.pushBlob('app', Buffer.from(text))
  const { remove } = world.collector({ storage: await withRoom(world, 0) })
  await t.rejects(remove('app'), /no room/)
  t.equal((await world.keys('repositories/')).length, 2, 'links that no entry was written for stay')
})

t.test('15.5: a collection frees what is ripe where there is no room for anything', async t => {
  const world = createCollecting()
  await world.pushBlob('ripe', LAYER)
  await world.rounds(1)
  t.equal((await world.keys('gc/orphans/')).length, 1)
  for (const name of ['before', 'zlast']) await world.pushBlob(name, Buffer.from(`unneeded in ${name}`))
  world.pass(GRACE + 1)
  const storage = await withRoom(world, 0)
  const report = await world.collector({ storage }).collect()
  t.match(report, { contents: 1, bytes: LAYER.length, links: 2, problems: [] }, 'and then goes on')
  t.strictSame(await world.keys('repositories/'), [])

  const stuck = createCollecting()
  await stuck.pushBlob('app', LAYER)
  stuck.pass(GRACE + 1)
  const nothing = await stuck.collector({ storage: await withRoom(stuck, 0) }).collect()
  t.match(nothing, { links: 0, problems: [{ repository: 'app', message: /no room/ }] })
})

t.test('15.5: a collector does without its lease on a full store', async t => {
  const world = createCollecting()
  t.equal(await withLease(await withRoom(world, 0), async () => 'collected'), 'collected')
})
