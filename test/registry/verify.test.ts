import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Digest, digestBytes } from '../../src/registry/digest.ts'
import { withoutWrites } from '../../src/registry/gc/dry-run.ts'
import {
  allReferrersOf,
  allTaggedOf,
  catalogKey,
  contentKey,
  hintKey,
  linkKey,
  linksOf,
  orphanKey,
  parseLink,
  recordKey,
  recordsOf,
  referrerKey,
  referrersOf,
  taggedKey,
  tagKey,
  tagsOf
} from '../../src/registry/keys.ts'
import { createRegistry, type Registry } from '../../src/registry/registry.ts'
import type { Fault, VerifyReport } from '../../src/registry/verify/fault.ts'
import { createVerifier, type Progress, type VerifierOptions, type VerifyOptions } from '../../src/registry/verify.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { openFilesystem } from '../../src/storage/filesystem.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { age } from '../support/age.ts'
import { CONFIG, config, IMAGE_BYTES, image, LAYER, layer } from '../support/collecting.ts'
import { descriptor, IMAGE, INDEX, indexOf, json } from '../support/images.ts'
import { keysIn } from '../support/registry.ts'
import { chunk, EXPIRY, GRACE, textOf } from '../support/world.ts'

const NOTHING = Buffer.alloc(0)
const SIGNATURE = json(indexOf([], { subject: descriptor(IMAGE_BYTES, IMAGE), artifactType: 'a/signature' }))
const INDEX_BYTES = json(indexOf([descriptor(IMAGE_BYTES, IMAGE)]))
const [signature, index] = [digestBytes(SIGNATURE), digestBytes(INDEX_BYTES)]
const gone = digestBytes(Buffer.from('gone'))

interface Store {
  storage: StorageDriver
  registry: Registry
  pass(ms: number): Promise<void>
  keys(prefix: string): Promise<string[]>
  first(prefix: string): Promise<string>
  /** The content of a blob. */
  contentOf(name: string, digest: Digest): Promise<string>
  push(name: string, bytes: Buffer): Promise<void>
  verify(
    options?: Partial<VerifyOptions>,
    more?: Partial<VerifierOptions>
  ): Promise<{ report: VerifyReport; faults: Fault[]; told: string[]; positions: Progress[] }>
}

/** A store, and how time passes in it, in ms. */
type Open = (t: Test) => Promise<{ storage: StorageDriver; pass(ms: number): Promise<void> }>
const drivers: Record<string, Open> = {
  memory: async () => {
    let passed = 0
    const pass = async (ms: number): Promise<void> => {
      passed += ms
    }
    return { storage: createMemory({ now: () => Date.now() + passed }), pass }
  },
  filesystem: async t => {
    const path = await mkdtemp(join(tmpdir(), 'marina-verify-'))
    t.teardown(() => rm(path, { recursive: true, force: true }))
    return { storage: await openFilesystem({ path }), pass: ms => age(path, ms) }
  }
}

/** An image with a signature and an index in `app`, the image alone in `team/app`, a while ago. */
async function createStore(open: Open, t: Test): Promise<Store> {
  const { storage, pass } = await open(t)
  t.teardown(() => storage.close())
  const quiet = (): void => {}
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  const process = (storage: StorageDriver): Registry =>
    createRegistry({
      storage,
      log,
      graceMs: GRACE,
      uploadExpiryMs: EXPIRY,
      cacheBytes: 0,
      smallBytes: 0,
      sparse: 'index'
    })
  const registry = process(storage)
  const keys = (prefix: string) => keysIn(storage, prefix)
  const first = async (prefix: string): Promise<string> => (await keys(prefix))[0]!
  const push = (name: string, bytes: Buffer) =>
    registry.uploads.single(name, digestBytes(bytes), chunk(bytes.toString()))
  for (const name of ['app', 'team/app']) {
    await push(name, CONFIG)
    await push(name, LAYER)
    await registry.manifests.put(name, { tag: 'v1' }, IMAGE_BYTES, IMAGE)
  }
  await registry.manifests.put('app', { digest: signature }, SIGNATURE, INDEX)
  await registry.manifests.put('app', { tag: 'all' }, INDEX_BYTES, INDEX)
  await pass(GRACE / 2)
  return {
    storage,
    registry,
    pass,
    keys,
    first,
    contentOf: async (name, digest) => parseLink(await first(linksOf(name, digest))).content,
    push,
    async verify(options, more) {
      const own = options?.repair ? storage : withoutWrites(storage)
      const faults: Fault[] = []
      const positions: Progress[] = []
      const settings = { storage: own, registry: process(own), graceMs: GRACE, sparse: 'index' as const, ...more }
      const report = await createVerifier(settings).verify({
        onFault: fault => void faults.push(fault),
        onProgress: progress => void positions.push(progress),
        ...options
      })
      const told = faults.map(({ kind, repository = '-', digest = '-', tag }) =>
        [kind, repository, named(digest), ...(tag === undefined ? [] : [tag])].join(' ')
      )
      return { report, faults, told: told.sort(), positions }
    }
  }
}

const names: Record<string, string> = {
  [config]: 'config',
  [layer]: 'layer',
  [image]: 'image',
  [signature]: 'signature',
  [index]: 'index',
  [gone]: 'gone'
}
const named = (digest: string): string => names[digest] ?? digest

function onEachDriver(title: string, run: (t: Test, store: Store) => Promise<void>): void {
  for (const [driver, open] of Object.entries(drivers)) {
    t.test(`${driver}: ${title}`, async t => run(t, await createStore(open, t)))
  }
}

onEachDriver('a store that is whole', async (t, store) => {
  const { report, told, positions } = await store.verify()
  t.strictSame(told, [])
  const counts = { repositories: 2, manifests: 4, tags: 3, referrers: 1, links: 4, contents: 2, hints: 2 }
  t.match(report, { ...counts, bytes: CONFIG.length + LAYER.length, faults: 0, repaired: 0 })
  t.strictSame(
    positions.map(({ stage, position }) => [stage, position.replace(/^@.*/, '@')]),
    [
      ['repositories', 'app'],
      ['repositories', 'team/app'],
      ['contents', '@']
    ]
  )
})

type Damage = (store: Store) => Promise<unknown>

/** `repaired`: what a repair mends; `left`: what it has no right answer for, and tells again. */
const damages: Record<string, { damage: Damage; repaired?: string[]; left?: string[] }> = {
  'a tag without its reverse': {
    damage: async ({ storage, keys }) =>
      storage.delete((await keys(allTaggedOf('app'))).filter(key => key.includes('v1.'))),
    repaired: ['reverse-missing app image v1']
  },
  'a reverse without its tag': {
    damage: async ({ storage, pass }) => {
      await storage.put(taggedKey('app', image, 'lost', 'cafe'), NOTHING)
      await pass(GRACE + 1)
    },
    repaired: ['reverse-dangling app image lost']
  },
  'a tag without its manifest': {
    damage: async ({ storage, pass }) => {
      await storage.put(taggedKey('app', gone, 'lost', 'cafe'), NOTHING)
      await storage.put(tagKey('app', 'lost', 2, 'cafe', gone), NOTHING)
      await storage.put(tagKey('app', 'lost', 1, 'face', image), NOTHING)
      await pass(GRACE + 1)
    },
    repaired: ['tag-dangling app gone lost']
  },
  'a tag without its manifest, which the grace protects': {
    damage: async ({ storage, pass }) => {
      await storage.put(taggedKey('app', gone, 'lost', 'cafe'), NOTHING)
      await storage.put(tagKey('app', 'lost', 2, 'cafe', gone), NOTHING)
      await pass(GRACE - 180_000)
    },
    left: ['tag-dangling app gone lost']
  },
  'a referrer that its subject does not know': {
    damage: async ({ storage, keys }) => storage.delete(await keys(allReferrersOf('app'))),
    repaired: ['referrer-missing app signature']
  },
  'a referrer without its manifest': {
    damage: async ({ storage, pass }) => {
      await storage.put(referrerKey('app', image, { digest: gone, artifactType: undefined }, 2), json({}))
      await pass(GRACE + 1)
    },
    repaired: ['referrer-dangling app gone']
  },
  'a referrer of something else': {
    damage: async ({ storage, pass }) => {
      await storage.put(referrerKey('app', gone, { digest: signature, artifactType: undefined }, 2), json({}))
      await pass(GRACE)
    },
    repaired: ['referrer-wrong app signature']
  },
  'a torn referrer': {
    damage: async ({ storage, first }) => storage.put(await first(allReferrersOf('app')), Buffer.from('{"media')),
    repaired: ['referrer-wrong app signature']
  },
  'a repository that the catalog lacks': {
    damage: ({ storage }) => storage.delete([catalogKey('team/app')]),
    repaired: ['catalog-missing team/app -']
  },
  'a repository that holds nothing': {
    damage: async ({ storage, pass }) => {
      await storage.put(catalogKey('empty'), NOTHING)
      await pass(GRACE)
    },
    repaired: ['catalog-empty empty -']
  },
  'a damaged record beside a good one': {
    damage: ({ storage }) => storage.put(recordKey('app', image, 9, 2), Buffer.from('{"mediaType":"a/b"}\n{}')),
    repaired: ['manifest-damaged app image']
  },
  'a damaged manifest': {
    damage: async ({ storage, first }) => storage.put(await first(recordsOf('app', index)), Buffer.from('{')),
    left: ['manifest-damaged app index']
  },
  'a manifest of a type that is not read': {
    damage: async ({ storage }) =>
      storage.put(recordKey('app', gone, 1, 4), Buffer.concat([json({ mediaType: IMAGE }), Buffer.from('\ngone')])),
    left: ['manifest-damaged app gone']
  },
  'a referrer as version 0.1 wrote it': {
    damage: async ({ storage, keys, pass }) => {
      const [key] = await keys(allReferrersOf('app'))
      const { bytes } = (await storage.get(key!))!
      await storage.delete([key!])
      await storage.put(`${referrersOf('app', image)}${signature.replace(':', '-')}.0123456789abcdef`, bytes)
      await pass(GRACE)
    },
    repaired: ['referrer-missing app signature', 'referrer-wrong app signature']
  },
  'a blob that was deleted under its manifest': {
    damage: ({ registry }) => registry.blobs.remove('app', config),
    left: ['blob-missing app config']
  },
  'a manifest that needs a blob in another size': {
    damage: async ({ storage, keys, contentOf }) => {
      const content = await contentOf('app', layer)
      await storage.delete(await keys(linksOf('app', layer)))
      await storage.put(linkKey('app', layer, content, 99), NOTHING)
    },
    repaired: ['link-wrong app layer'],
    left: ['size-wrong app layer']
  },
  'links of one content that contradict each other': {
    damage: async ({ storage, contentOf }) =>
      storage.put(linkKey('app', layer, await contentOf('app', layer), 99), NOTHING),
    repaired: ['link-wrong app layer']
  },
  'a hint that is torn': {
    damage: ({ storage }) => storage.put(hintKey(layer), Buffer.from('{"content":"')),
    repaired: ['hint-wrong - layer']
  },
  'a hint to what is gone': {
    damage: ({ storage }) => storage.put(hintKey(layer), json({ content: 'gone', size: 1 })),
    repaired: ['hint-wrong - layer']
  },
  'a hint to other bytes': {
    damage: async ({ storage, contentOf }) =>
      storage.put(hintKey(gone), json({ content: await contentOf('app', layer), size: LAYER.length })),
    repaired: ['hint-wrong - gone']
  },
  'content that is gone': {
    damage: async ({ storage, contentOf }) => storage.delete([contentKey(await contentOf('app', layer))]),
    repaired: ['hint-wrong - layer'],
    left: ['content-missing app layer', 'content-missing team/app layer']
  },
  'bytes that have changed': {
    damage: async ({ storage, contentOf }) =>
      storage.put(contentKey(await contentOf('app', layer)), Buffer.from('A layer')),
    repaired: ['hint-wrong - layer'],
    left: ['content-damaged app layer', 'content-damaged team/app layer']
  },
  'bytes that have changed, and are whole elsewhere': {
    damage: async ({ storage, contentOf, push }) => {
      await storage.put(contentKey(await contentOf('app', layer)), Buffer.from('A layer'))
      await storage.delete([hintKey(layer)])
      await push('elsewhere', LAYER)
    },
    repaired: ['content-damaged app layer', 'content-damaged team/app layer']
  },
  'a blob linked to the bytes of another': {
    damage: async ({ storage, keys, contentOf }) => {
      const other = await contentOf('app', config)
      await storage.delete(await keys(linksOf('app', layer)))
      await storage.put(linkKey('app', layer, other, LAYER.length), NOTHING)
    },
    repaired: ['content-damaged app layer']
  },
  'files that are not ours': {
    damage: async ({ storage }) => {
      for (const prefix of [linksOf('app', layer), recordsOf('app', image), tagsOf('app'), allTaggedOf('app')])
        await storage.put(`${prefix}README.txt`, NOTHING)
      await storage.put(`${allReferrersOf('app')}sha256/README.txt`, NOTHING)
      await storage.put('digests/README.txt', NOTHING)
    },
    left: ['key-unknown - -', ...Array.from({ length: 5 }, () => 'key-unknown app -')]
  }
}

for (const [what, { damage, repaired = [], left = [] }] of Object.entries(damages)) {
  onEachDriver(what, async (t, store) => {
    await damage(store)
    await store.pass(120_000)
    const before = await store.keys('')
    const all = [...repaired, ...left].sort()
    t.strictSame((await store.verify()).told, all, 'is told')
    t.strictSame(await store.keys(''), before, 'and nothing is written')
    const { faults, report, told } = await store.verify({ repair: true })
    t.strictSame(told, all)
    const mended = faults.filter(({ repaired }) => repaired).map(({ kind }) => kind)
    t.strictSame(mended.sort(), repaired.map(fault => fault.split(' ')[0]).sort(), 'what has a right answer is mended')
    t.match(report, { faults: all.length, repaired: repaired.length })
    // A link that is mended satisfies the manifest that asked for the right size.
    const stays = left.filter(fault => !fault.startsWith('size-wrong'))
    t.strictSame((await store.verify()).told, stays, 'the rest stays')
    if (stays.length > 0) return
    t.equal(await textOf(store.registry, 'app', layer), 'a layer')
    t.equal((await store.registry.manifests.get('app', { tag: 'v1' }, () => true)).digest, image)
  })
}

onEachDriver('what is being written is not taken for a fault', async (t, store) => {
  const { storage } = store
  await storage.put(
    recordKey('new', signature, 1, 1),
    Buffer.concat([json({ mediaType: INDEX }), Buffer.from('\n'), SIGNATURE])
  )
  await storage.put(tagKey('app', 'lost', 2, 'cafe', gone), NOTHING)
  await storage.put(taggedKey('app', gone, 'lost', 'cafe'), NOTHING)
  await storage.put(taggedKey('app', image, 'next', 'cafe'), NOTHING)
  await storage.put(referrerKey('app', image, { digest: gone, artifactType: undefined }, 2), json({}))
  await storage.put(catalogKey('empty'), NOTHING)
  t.strictSame((await store.verify()).told, [])
  await store.pass(60_000)
  t.strictSame((await store.verify()).told, [
    'catalog-empty empty -',
    'catalog-missing new -',
    'referrer-dangling app gone',
    'referrer-missing new signature',
    'tag-dangling app gone lost'
  ])
})

onEachDriver('bytes that a relink left lose their link by the rules, and nobody shares them', async (t, store) => {
  const bad = await store.contentOf('app', layer)
  await damages['bytes that have changed, and are whole elsewhere']!.damage(store)
  await store.pass(GRACE)
  await store.verify({ repair: true })
  t.ok(await store.storage.stat(orphanKey(bad)), 'word of the loss')
  t.equal((await store.keys(linksOf('elsewhere', layer))).length, 2, 'the old link that is relied on was written anew')
  await store.push('more', LAYER)
  t.not(await store.contentOf('more', layer), bad)
})

onEachDriver('bytes that changed are shared no further, though nobody has them whole', async (t, store) => {
  const bad = await store.contentOf('app', layer)
  await store.storage.put(contentKey(bad), Buffer.from('A layer'))
  t.ok(await store.registry.blobs.shareable(layer))
  await store.verify({ repair: true })
  await store.push('more', LAYER)
  t.not(await store.contentOf('more', layer), bad, 'who pushes them again has them')
  await store.verify({ repair: true })
  t.equal(await textOf(store.registry, 'app', layer), 'a layer', 'and so has everybody else then')
  t.strictSame((await store.verify()).told, [])
})

onEachDriver('some repositories alone', async (t, store) => {
  await store.storage.put(contentKey(await store.contentOf('app', layer)), Buffer.from('A layer'))
  await store.storage.put(hintKey(gone), NOTHING)
  for (const [pattern, name] of [
    ['team/*', 'team/app'],
    ['app', 'app']
  ] as const) {
    const { told, report } = await store.verify({ repository: pattern })
    t.strictSame(told, [`content-damaged ${name} layer`, 'hint-wrong - layer'])
    t.match(report, { repositories: 1, hints: 0 })
  }
})

t.test('each content is read once, whatever the batches', async t => {
  for (const batch of [1, 2, 3, 7, 100]) {
    const store = await createStore(drivers.memory!, t)
    for (let n = 0; n < 12; n++) {
      for (const name of ['app', `many/app${n % 5}`]) await store.push(name, Buffer.from(`blob ${n}`))
    }
    for (const digest of [digestBytes(Buffer.from('blob 3')), digestBytes(Buffer.from('blob 7'))]) {
      await store.storage.put(contentKey(await store.contentOf('app', digest)), NOTHING)
    }
    const reads: string[] = []
    const storage: StorageDriver = {
      ...store.storage,
      read: async (key, range) => {
        reads.push(key)
        return store.storage.read(key, range)
      }
    }
    const { report, faults } = await store.verify({}, { batch, storage })
    t.equal(reads.length, 14, `batches of ${batch}`)
    t.equal(new Set(reads).size, 14)
    t.match(report, { contents: 14, faults: 6 })
    t.equal(faults.filter(({ repository }) => repository).length, 4)
    // Two at a time, either of which may wait for its turn.
    const batches = Array.from({ length: Math.ceil(14 / batch) }, (_, at) => reads.slice(at * batch, (at + 1) * batch))
    t.strictSame(
      batches.flatMap(keys => keys.toSorted()),
      reads.toSorted(),
      'in their order'
    )
  }
})

t.test('a run goes on behind a position', async t => {
  const store = await createStore(drivers.memory!, t)
  for (let n = 0; n < 5; n++) await store.push(`many/app${n}`, Buffer.from(`blob ${n}`))
  const { positions } = await store.verify({}, { batch: 2 })
  const stop = new Error('stop')
  for (const [at, { position }] of positions.entries()) {
    const seen: string[] = []
    const closing = new AbortController()
    const onProgress = (progress: Progress): void => {
      seen.push(progress.position)
      if (progress.position === position) closing.abort(stop)
    }
    const options = { onProgress, signal: closing.signal }
    const stopped = await store.verify(options, { batch: 2 }).then(
      () => undefined,
      error => error
    )
    if (at < positions.length - 1) t.equal(stopped, stop)
    const rest = await store.verify({ after: position }, { batch: 2 })
    t.strictSame(
      [...seen, ...rest.positions.map(({ position }) => position)].filter(
        (one, index, all) => all.indexOf(one) === index
      ),
      positions.map(({ position }) => position),
      `stopped behind ${position}`
    )
  }
  const parts = positions.map(({ part }) => part)
  t.ok(parts.every(part => part >= 0 && part <= 1))
})

t.test('an object that can not be read is a fault of its own, a store that does not answer is not', async t => {
  const store = await createStore(drivers.memory!, t)
  const content = contentKey(await store.contentOf('app', layer))
  const failing = (error: Error): StorageDriver => ({
    ...store.storage,
    read: async (key, range) => {
      if (key === content) throw error
      return store.storage.read(key, range)
    }
  })
  const { told } = await store.verify({}, { storage: failing(new StorageError('failed', 'EIO')) })
  t.strictSame(told, ['content-unreadable app layer', 'content-unreadable team/app layer', 'hint-wrong - layer'])
  const away = new StorageError('unavailable', 'away')
  await t.rejects(store.verify({}, { storage: failing(away) }), away)
})

t.test('what a manifest may lack', async t => {
  const store = await createStore(drivers.memory!, t)
  await store.registry.manifests.remove('app', { digest: image })
  await store.registry.blobs.remove('team/app', config)
  const told = async (sparse: VerifierOptions['sparse']) => (await store.verify({}, { sparse })).told
  t.strictSame(await told('all'), [])
  t.strictSame(await told('index'), ['blob-missing team/app config'])
  t.strictSame(await told('none'), ['blob-missing team/app config', 'manifest-missing app image'])
})

t.test('15.36: with MANIFEST_SIZE_CHECK=warn another size is no fault', async t => {
  const { storage, contentOf, verify } = await createStore(drivers.memory!, t)
  const content = await contentOf('app', layer)
  await storage.put(linkKey('app', layer, content, LAYER.length), NOTHING)
  const index = { schemaVersion: 2, manifests: [{ mediaType: 'a/b', digest: layer, size: LAYER.length + 1 }] }
  const bytes = json(index)
  await storage.put(
    recordKey('app', digestBytes(bytes), 1, bytes.length),
    Buffer.concat([json({ mediaType: INDEX }), Buffer.from('\n'), bytes])
  )
  t.strictSame((await verify({}, { sparse: 'none' })).told, ['size-wrong app layer'])
  t.strictSame((await verify({}, { sparse: 'none', sizeCheck: 'warn' })).told, [])
})

t.test('blobs of both algorithms', async t => {
  const store = await createStore(drivers.memory!, t)
  const content = await store.contentOf('app', layer)
  const other = digestBytes(LAYER, 'sha512')
  await store.storage.put(linkKey('app', other, content, LAYER.length), NOTHING)
  t.strictSame((await store.verify()).told, [])
  await store.storage.put(linkKey('app', digestBytes(NOTHING, 'sha512'), content, LAYER.length), NOTHING)
  const { faults } = await store.verify()
  t.match(faults, [{ kind: 'content-damaged', digest: digestBytes(NOTHING, 'sha512') }])
})
