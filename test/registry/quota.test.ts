import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { parseDigest } from '../../src/registry/digest.ts'
import { blobsOf, linkKey, recordKey } from '../../src/registry/keys.ts'
import { COUNTED_EVERY_MS, createQuota } from '../../src/registry/quota.ts'
import { type StorageDriver, StorageError } from '../../src/storage/driver.ts'
import { createMemory } from '../../src/storage/memory.ts'
import { refused, told } from '../support/answers.ts'
import { digestOf, random } from '../support/images.ts'
import { keysIn, type Opened, onEachDriver, openRegistry, uploadsIn } from '../support/registry.ts'

const KIB = 1024
const LOG = { warn: () => {} }
const quotas = [
  { pattern: 'team/small', bytes: 10 * KIB },
  { pattern: 'team/**', bytes: 100 * KIB }
]

/** The folders of a repository's blobs; each may hold several links. */
async function blobsIn(storage: StorageDriver, name: string): Promise<string[]> {
  const links = await keysIn(storage, blobsOf(name))
  return [...new Set(links.map(key => key.slice(0, key.lastIndexOf('/'))))]
}

/** A push of a blob in two requests, or what the first was answered where it was refused. */
async function push({ send, close }: Opened, name: string, bytes: Buffer) {
  const begun = await send('POST', `/v2/${name}/blobs/uploads/`)
  return begun.status === 202 ? close(begun.headers.location!, digestOf(bytes), { body: bytes }) : begun
}

onEachDriver(
  'a push beyond the quota is refused with what is used and allowed; others go on',
  async (t, registry) => {
    const { send, begin, patch, head, storage } = registry
    const first = await push(registry, 'team/small', random(8 * KIB))
    told(t, first, 201, {}, 'within')
    const more = random(3 * KIB)
    const answer = await push(registry, 'team/small', more)
    const [entry] = refused(t, answer, 403, 'DENIED', 'beyond')
    t.match(entry, {
      message: 'the repository holds about 8.0 KiB, and it may hold 10.0 KiB',
      detail: { used: 8 * KIB, allowed: 10 * KIB }
    })
    refused(t, await head(`/v2/team/small/blobs/${digestOf(more)}`), 404, 'BLOB_UNKNOWN', 'not there', 'HEAD')
    const single = `/v2/team/small/blobs/uploads/?digest=${digestOf(more)}`
    refused(t, await send('POST', single, { body: more }), 403, 'DENIED', 'in one request')

    const session = await begin('team/small')
    const chunked = await patch(session, more, { chunked: true })
    refused(t, chunked, 403, 'DENIED', 'in chunks of which nobody said how long they are')
    refused(t, await registry.get(session), 404, 'BLOB_UPLOAD_UNKNOWN', 'and what came has gone')
    t.strictSame(await uploadsIn(storage), [])

    told(t, await push(registry, 'team/small', random(KIB)), 201, {}, 'what fits')
    told(t, await push(registry, 'team/small', random(KIB)), 201, {}, 'to the last byte')
    refused(t, await send('POST', '/v2/team/small/blobs/uploads/'), 403, 'DENIED', 'where it is full')
    told(t, await push(registry, 'team/large', random(50 * KIB)), 201, {}, 'another repository, by another rule')
    told(t, await push(registry, 'other', random(500 * KIB)), 201, {}, 'one that no rule takes')
  },
  { quotas }
)

onEachDriver(
  'what a repository held before a start counts for the first push after it',
  async (t, registry) => {
    const bytes = random(9 * KIB)
    await push(registry, 'team/small', bytes)
    const source = random(2 * KIB)
    await push(registry, 'source', source)
    const answers = {
      'in two requests': (peer: Opened) => push(peer, 'team/small', random(2 * KIB)),
      'in one': (peer: Opened) =>
        peer.send('POST', `/v2/team/small/blobs/uploads/?digest=${digestOf(small)}`, { body: small }),
      'a mount': (peer: Opened) =>
        peer.send('POST', `/v2/team/small/blobs/uploads/?mount=${digestOf(source)}&from=source`)
    }
    const small = random(2 * KIB)
    for (const [what, answer] of Object.entries(answers)) {
      refused(t, await answer(await registry.peer()), 403, 'DENIED', what)
    }
  },
  { quotas }
)

onEachDriver(
  'a mount counts, and a repeated push does not fail',
  async (t, registry) => {
    const { send, begin, close } = registry
    const [large, small] = [random(20 * KIB), random(4 * KIB)]
    for (const bytes of [large, small]) await push(registry, 'source', bytes)
    const mount = (bytes: Buffer, from = '&from=source') =>
      send('POST', `/v2/team/small/blobs/uploads/?mount=${digestOf(bytes)}${from}`)
    refused(t, await mount(large), 403, 'DENIED', 'too large')
    told(t, await mount(small), 201, {}, 'with a source')
    const session = await begin('team/small')
    const body = random(5 * KIB)
    for (let round = 0; round < 3; round++) {
      told(t, await close(session, digestOf(body), { body }), 201, {}, 'a closing PUT, and its repetitions')
    }
    told(t, await mount(random(10), ''), 202, {}, 'what is nowhere is an upload to begin')
    const last = random(2 * KIB)
    await push(registry, 'source', last)
    refused(t, await mount(last), 403, 'DENIED', 'what was mounted before counts')
  },
  { quotas }
)

t.test('what others pushed and what has gone counts with the next count, a minute later', async t => {
  let now = Date.UTC(2026, 0)
  const registry = await openRegistry(t, createMemory(), { quotas, now: () => now, gcIntervalMs: 0 })
  const replica = await registry.peer()
  await registry.begin('team/small')
  const bytes = random(9 * KIB)
  await push(replica, 'team/small', bytes)
  told(t, await push(registry, 'team/small', random(2 * KIB)), 201, {}, 'nobody knows of the other yet')
  now += COUNTED_EVERY_MS
  await registry.begin('team/small')
  await sleep(50)
  refused(t, await push(registry, 'team/small', random(KIB)), 403, 'DENIED', 'then it does')
  await registry.del(`/v2/team/small/blobs/${digestOf(bytes)}`)
  refused(t, await push(registry, 'team/small', random(KIB)), 403, 'DENIED', 'deleting is not seen at once')
  now += COUNTED_EVERY_MS
  await registry.send('POST', '/v2/team/small/blobs/uploads/')
  await sleep(50)
  told(t, await push(registry, 'team/small', random(KIB)), 201, {}, 'but a minute later')
})

t.test(
  'counting holds up nobody for more than a second, is done once a minute, and a store that fails is no quota',
  async t => {
    let now = Date.UTC(2026, 0)
    const memory = createMemory()
    let [listings, broken, go] = [0, false, () => {}]
    const gate = new Promise<void>(resolve => (go = resolve))
    const storage: StorageDriver = {
      ...memory,
      list: async (prefix, options) => {
        if (prefix !== blobsOf('team/small') || options?.limit !== 1000) return memory.list(prefix, options)
        listings++
        if (broken) throw new StorageError('unavailable', 'away')
        await gate
        return memory.list(prefix, options)
      }
    }
    const registry = await openRegistry(t, storage, { quotas, now: () => now, gcIntervalMs: 0 })
    const begun = performance.now()
    for (let index = 0; index < 5; index++) told(t, await push(registry, 'team/small', random(KIB)), 201, {}, 'a push')
    const waited = performance.now() - begun
    t.ok(waited > 900 && waited < 9000, `the first of ten requests waits for a second: ${waited} ms for all`)
    t.equal(listings, 1, 'is being counted all the time')
    go()
    await sleep(20)
    for (let index = 0; index < 5; index++) await push(registry, 'team/small', random(KIB))
    refused(t, await push(registry, 'team/small', random(KIB)), 403, 'DENIED', 'when it has been counted')
    t.equal(listings, 1)
    broken = true
    now += COUNTED_EVERY_MS
    await registry.send('POST', '/v2/team/small/blobs/uploads/')
    await sleep(20)
    refused(t, await push(registry, 'team/small', random(KIB)), 403, 'DENIED', 'what was counted last holds')
    t.equal(listings, 2)
  }
)

t.test('each blob and each manifest counts once, however many links or records it has', async t => {
  const blob = fc.record({ id: fc.nat(30), size: fc.nat(1000), links: fc.integer({ min: 1, max: 3 }) })
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(blob, { selector: each => each.id, maxLength: 30 }), async blobs => {
      const storage = createMemory()
      for (const { id, size, links } of blobs) {
        const digest = parseDigest(digestOf(Buffer.from(String(id))))
        for (let index = 0; index < links; index++)
          await storage.put(
            id % 3 ? linkKey('a', digest, `c${index}`, size) : recordKey('a', digest, index, size),
            Buffer.alloc(0)
          )
      }
      const sum = blobs.reduce((bytes, { size }) => bytes + size, 0)
      const quota = createQuota({ storage, rules: [{ pattern: 'a', bytes: sum }], log: LOG, expiryMs: 1000 })
      await t.rejects(quota.admit('a'), { message: /^the repository holds about/ })
      await t.rejects((async () => quota.room('a')!.need(1))(), { message: /^the repository holds about/ })
    }),
    { numRuns: 30 }
  )
})

onEachDriver(
  '15.9: of pushes at once no more get in than fit',
  async (t, registry) => {
    const { send, storage } = registry
    const blobs = Array.from({ length: 20 }, () => random(900 * KIB))
    const single = (body: Buffer, chunked: boolean) =>
      send('POST', `/v2/full/blobs/uploads/?digest=${digestOf(body)}`, { body, chunked })
    for (const chunked of [false, true]) {
      const answers = await Promise.all(blobs.map(body => single(body, chunked)))
      // The second time, the one that is there already.
      t.equal(answers.filter(({ status }) => status === 201).length, 1, `chunked: ${chunked}`)
      for (const answer of answers) if (answer.status !== 201) refused(t, answer, 403, 'DENIED', 'the others')
    }
    t.equal((await blobsIn(storage, 'full')).length, 1)
    t.strictSame(await uploadsIn(storage), [])
    const small = Array.from({ length: 20 }, () => random(100 * KIB))
    const answers = await Promise.all(small.map(body => push(registry, 'full', body)))
    t.equal(answers.filter(({ status }) => status === 201).length, 1, 'in two requests')
    t.strictSame(await uploadsIn(storage), [], 'what was refused has left nothing')
  },
  { quotas: [{ pattern: '**', bytes: 1024 * KIB }] }
)

const MIB = [{ pattern: '**', bytes: 1024 * KIB }]

onEachDriver(
  '15.9: a blob that is there already needs no room, and nothing else gets in without',
  async (t, registry) => {
    const { send, begin, close, patch, get, storage } = registry
    const body = random(900 * KIB)
    const single = (bytes: Buffer, chunked = false, digest = digestOf(body)) =>
      send('POST', `/v2/full/blobs/uploads/?digest=${digest}`, { body: bytes, chunked })
    told(t, await single(body), 201, {}, 'the first push')
    const [content, blobs] = [await keysIn(storage, 'content/'), await blobsIn(storage, 'full')]
    told(t, await single(body), 201, {}, 'the same again')
    told(t, await single(body, true), 201, {}, 'without a length')
    told(t, await push(registry, 'full', body), 201, {}, 'in two requests')
    const session = (await patch(await begin('full'), body.subarray(0, 100 * KIB))).headers.location!
    told(t, await close(session, digestOf(body), { body: body.subarray(100 * KIB) }), 201, {}, 'the rest of a session')

    refused(t, await single(random(900 * KIB)), 400, 'DIGEST_INVALID', 'other bytes under its digest')
    refused(t, await single(random(901 * KIB)), 403, 'DENIED', 'more bytes under its digest')
    refused(t, await single(random(901 * KIB), true), 403, 'DENIED', 'also without a length')
    refused(t, await push(registry, 'full', random(900 * KIB)), 403, 'DENIED', 'another blob')
    const other = await begin('full')
    refused(
      t,
      await close(other, digestOf(body), { body: random(900 * KIB) }),
      400,
      'DIGEST_INVALID',
      'in two requests'
    )
    const short = await begin('full')
    const answer = await close(short, digestOf(body), {
      body: body.subarray(0, 500 * KIB),
      chunked: true,
      range: `0-${900 * KIB - 1}`
    })
    refused(t, answer, 400, 'SIZE_INVALID', 'a body that ends early')
    refused(t, await get(short), 404, 'BLOB_UPLOAD_UNKNOWN', 'leaves no session whose bytes count nowhere')
    t.strictSame(await uploadsIn(storage), [])
    t.strictSame([await keysIn(storage, 'content/'), await blobsIn(storage, 'full')], [content, blobs])
    told(t, await push(registry, 'full', random(124 * KIB)), 201, {}, 'what is left of the room')
    refused(t, await single(random(1), false, digestOf(random(1))), 403, 'DENIED', 'then it is full')
  },
  { quotas: MIB }
)

onEachDriver(
  '15.9: pushes of the same blob at once need room for one',
  async (t, registry) => {
    const single = (body: Buffer) => registry.send('POST', `/v2/full/blobs/uploads/?digest=${digestOf(body)}`, { body })
    const [body, other] = [random(600 * KIB), random(600 * KIB)]
    const answers = await Promise.all([body, body, other, body, body, body].map(single))
    t.strictSame(
      answers.map(({ status }) => status),
      [201, 201, 403, 201, 201, 201]
    )
    t.strictSame(await uploadsIn(registry.storage), [])
    told(t, await single(random(424 * KIB)), 201, {}, 'it counts once')
    refused(t, await single(random(1)), 403, 'DENIED', 'and counts')
  },
  { quotas: MIB }
)

t.test('15.9: shared room is kept until the last request ends, and is counted once', async t => {
  const quota = createQuota({
    storage: createMemory(),
    rules: [{ pattern: 'a', bytes: 1000 }],
    log: LOG,
    expiryMs: 1000,
    steady: () => 0
  })
  await quota.admit('a')
  const digest = parseDigest(digestOf(random(4)))
  const refusal = { message: /^the repository holds about/ }
  const need = async (bytes: number) => quota.room('a')!.need(bytes)
  const [first, second, third] = [1, 2, 3].map(() => quota.shared('a', digest)!)
  for (const room of [first!, second!, third!]) await room.need(600)
  for (let twice = 0; twice < 2; twice++) {
    first!.keep(0)
    first!.release()
    await t.rejects(need(401), refusal, 'the others have it still')
  }
  for (const room of [second!, third!]) {
    room.added('blob', digest)
    room.release()
  }
  await t.rejects(need(401), refusal)
  await need(400)
})

t.test('15.9: whether a blob is there is looked up once, and only where the push would be refused', async t => {
  const memory = createMemory()
  let looks = 0
  const storage: StorageDriver = {
    ...memory,
    list: async (prefix, options) => {
      if (/blobs/.test(prefix) && options?.limit === undefined) looks++
      return memory.list(prefix, options)
    }
  }
  const { send } = await openRegistry(t, storage, { quotas: MIB, gcIntervalMs: 0 })
  const body = random(900 * KIB)
  const single = async () => (await send('POST', `/v2/full/blobs/uploads/?digest=${digestOf(body)}`, { body })).status
  t.strictSame([await single(), looks], [201, 0])
  t.strictSame([await single(), looks], [201, 1])
})

onEachDriver(
  '15.9: a chunk that nobody tells the length of is refused while it comes, and open sessions count',
  async (t, registry) => {
    const { begin, get, patch, close, del, storage } = registry
    let sent = 0
    const endless = Readable.from(
      (function* () {
        for (; sent < 100 * 1024; sent += 64) yield random(64 * KIB)
      })()
    )
    const session = await begin('team/small')
    const answer = await registry.app.inject({
      method: 'PATCH',
      url: session,
      headers: { 'transfer-encoding': 'chunked', 'content-type': 'application/octet-stream' },
      payload: endless
    })
    t.equal(answer.statusCode, 403)
    t.ok(sent < 10 * 1024, `${sent} KiB of 100 MiB were read, most of them thrown away`)
    t.strictSame(await uploadsIn(storage), [], 'and its bytes were given back')

    const first = (await patch(await begin('team/small'), random(6 * KIB), { chunked: true })).headers.location!
    const second = await begin('team/small')
    refused(t, await patch(second, random(6 * KIB)), 403, 'DENIED', 'what is not finished counts')
    refused(t, await get(second), 404, 'BLOB_UPLOAD_UNKNOWN', 'a session that was refused is gone')
    told(t, await get(first), 204, {}, 'the other one is not')
    told(t, await del(first), 204, {}, 'it is cancelled')
    const third = (await patch(await begin('team/small'), random(6 * KIB))).headers.location!
    const body = random(4 * KIB)
    refused(t, await close(third, digestOf(body), { body }), 400, 'DIGEST_INVALID', 'it ends with another digest')
    told(t, await push(registry, 'team/small', random(9 * KIB)), 201, {}, 'so its room is free')
  },
  { quotas, uploadExpiryMs: 60_000 }
)

t.test('15.9: what is on its way counts until it expires, by a clock that nobody sets', async t => {
  let [now, steady] = [Date.UTC(2026, 0), 0]
  const settings = { quotas, now: () => now, steady: () => steady, gcIntervalMs: 0, uploadExpiryMs: 120_000 }
  const registry = await openRegistry(t, createMemory(), settings)
  const { begin, patch } = registry
  await patch(await begin('team/small'), random(9 * KIB))
  now -= 48 * 3600 * 1000
  refused(t, await push(registry, 'team/small', random(2 * KIB)), 403, 'DENIED', 'it counts')
  steady += 120_001
  told(t, await push(registry, 'team/small', random(2 * KIB)), 201, {}, 'it has expired, though the date was set back')
  const replica = await registry.peer()
  await push(replica, 'team/small', random(7 * KIB))
  steady += COUNTED_EVERY_MS
  await begin('team/small')
  await sleep(50)
  refused(t, await push(registry, 'team/small', random(2 * KIB)), 403, 'DENIED', 'so is what others pushed')
})

onEachDriver(
  '15.9: manifests count, and one that is there already needs no room',
  async (t, { pushImage, putManifest, prepareImage }) => {
    const { bytes } = await pushImage('team/small', 'v1', { annotations: { long: 'x'.repeat(4 * KIB) } })
    const more = await prepareImage('team/small', { annotations: { long: 'y'.repeat(6 * KIB) } })
    refused(t, await putManifest('team/small', 'v2', more), 403, 'DENIED', 'one more')
    await pushImage('team/small', 'v3', { annotations: { long: 'x'.repeat(4 * KIB) } })
    for (const tag of ['v1', 'v2']) told(t, await putManifest('team/small', tag, bytes), 201, {}, 'the first one again')
  },
  { quotas }
)

t.test('15.9: what comes while a repository is counted counts once', async t => {
  const memory = createMemory()
  let gate = Promise.resolve()
  const storage: StorageDriver = {
    ...memory,
    list: async (prefix, options) => {
      const found = await memory.list(prefix, options)
      if (options?.limit === 1000) await gate
      return found
    }
  }
  let steady = 0
  const registry = await openRegistry(t, storage, { quotas, steady: () => steady, gcIntervalMs: 0 })
  await push(registry, 'team/small', random(3 * KIB))
  steady += COUNTED_EVERY_MS
  let go = (): void => {}
  gate = new Promise<void>(resolve => (go = resolve))
  for (let index = 0; index < 3; index++) await push(registry, 'team/small', random(2 * KIB))
  go()
  await sleep(20)
  refused(t, await push(registry, 'team/small', random(1.5 * KIB)), 403, 'DENIED', 'all of them count')
  told(t, await push(registry, 'team/small', random(KIB)), 201, {}, 'none counts twice')
})

t.test('15.9: whatever requests do, no more is let in than fits, and all room is given back', async t => {
  const step = fc.record({
    room: fc.nat(5),
    call: fc.constantFrom('need', 'need', 'need', 'keep', 'added', 'release'),
    bytes: fc.nat(600)
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async steps => {
      const quota = createQuota({
        storage: createMemory(),
        rules: [{ pattern: 'a', bytes: 1000 }],
        log: LOG,
        expiryMs: 1000,
        steady: () => 0
      })
      await quota.admit('a')
      const held = new Map<number, number>()
      const sum = () => [...held.values()].reduce((all, bytes) => all + bytes, 0)
      let stored = 0
      for (const { room, call, bytes } of steps) {
        // A session has the same room with each request.
        const asked = quota.room('a', `session ${room}`)!
        const before = held.get(room) ?? 0
        if (call === 'need') {
          const fits = bytes <= before || stored + sum() + bytes - before <= 1000
          try {
            await asked.need(bytes)
            if (!fits) return false
            held.set(room, Math.max(before, bytes))
          } catch (error) {
            if (fits) throw error
          }
        } else if (call === 'keep') {
          asked.keep(bytes)
          held.set(room, Math.min(before, bytes))
        } else {
          if (call === 'added') stored += before
          if (call === 'added') asked.added('blob', parseDigest(digestOf(random(4))))
          else asked.release()
          held.set(room, 0)
        }
        if (stored + sum() > 1000) return false
      }
      for (const room of held.keys()) quota.room('a', `session ${room}`)!.release()
      const left = 1000 - stored
      if (left > 0) await quota.room('a')!.need(left)
      return true
    })
  )
  t.pass('in every order')
})
