import { randomBytes } from 'node:crypto'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import t, { type Test } from 'tap'
import type { UploadState } from '../../src/storage/driver.ts'
import { openS3, type S3Driver, type S3Options } from '../../src/storage/s3.ts'
import { fault, from, inPieces, MIB, uploadsIn, whole } from '../../src/storage-contract/parts.ts'
import { bucket, keysBelow, multipartsOf, s3, scratchPrefix, settings } from '../support/s3.ts'

interface Counts {
  [operation: string]: number
}

/** A store with drivers on it as of several processes; its uploads are counted. */
async function open(t: Test, options: Partial<S3Options> = {}) {
  const prefix = await scratchPrefix(t)
  const counts: Counts = {}
  const sent = { bytes: 0 }
  const onRequest = (operation: string, bytes: number): void => {
    counts[operation] = (counts[operation] ?? 0) + 1
    sent.bytes += bytes
  }
  const another = async (more: Partial<S3Options> = {}): Promise<S3Driver> => {
    const driver = await openS3(settings({ prefix, partSize: 5 * MIB, ...options, ...more }))
    t.teardown(() => driver.close())
    return driver
  }
  const driver = await another({ onRequest })
  /** What was asked of S3 since the last time. */
  const counted = (): Counts => {
    const now = { ...counts }
    for (const operation of Object.keys(counts)) delete counts[operation]
    return now
  }
  counted()
  const leftovers = async () => [...(await keysBelow(`${prefix}/uploads`)), ...(await multipartsOf(`${prefix}/made`))]
  const record = async (id: string): Promise<{ parts: { number: number; size: number }[]; tails: unknown[] }> => {
    const found = await (await s3()).send(new GetObjectCommand({ Bucket: bucket, Key: `${prefix}/uploads/${id}` }))
    return JSON.parse(await found.Body!.transformToString())
  }
  return { driver, another, counted, sent, leftovers, record }
}

const begin = { key: 'made', from: undefined, writer: 'one' }

/** Gives bytes, then stands still until it is let go. */
function stuckAfter(bytes: Buffer): { source: AsyncIterable<Uint8Array>; stuck: Promise<void>; go: () => void } {
  let tell = (): void => undefined
  let go = (): void => undefined
  const stuck = new Promise<void>(resolve => {
    tell = resolve
  })
  const gone = new Promise<void>(resolve => {
    go = resolve
  })
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield* inPieces(bytes, 300_000)
    tell()
    await gone
    yield randomBytes(6 * MIB)
  }
  return { source: source(), stuck, go }
}

async function settled(driver: S3Driver, size: number): Promise<UploadState | undefined> {
  for (;;) {
    const state = await driver.upload('u')
    if (state && state.size >= size) return state
  }
}

t.test('a small upload is one request, and nobody else sees it before', async t => {
  const { driver, another, counted, leftovers } = await open(t)
  const peer = await another()
  const bytes = randomBytes(100_000)
  const size = await driver.append('u', inPieces(bytes, 1000), { ...begin, closing: true })
  const state = { size, writer: 'one' }
  t.same(await driver.upload('u'), state)
  t.equal(await peer.upload('u'), undefined)
  t.same(await uploadsIn(peer), [])
  await fault(t, 'conflict', driver.commit('u', 'made', { size, writer: 'two' }))
  await fault(t, 'conflict', driver.append('u', from('x'), { ...begin, closing: true }), 'it has begun')
  t.same(counted(), {})
  t.same(await driver.commit('u', 'made', state), { size, existed: false })
  t.same(counted(), { PutObject: 1 })
  t.ok((await whole(peer, 'made')).equals(bytes))
  t.same(await leftovers(), [])
})

t.test('what is held can be gone on with, and dropped', async t => {
  const { driver, counted, leftovers } = await open(t)
  const size = await driver.append('u', from('held '), { ...begin, closing: true })
  const more = await driver.append('u', from('and more'), { ...begin, from: { size, writer: 'one' }, writer: 'two' })
  t.same(await driver.upload('u'), { size: more, writer: 'two' })
  await driver.commit('u', 'made', { size: more, writer: 'two' })
  t.equal((await whole(driver, 'made')).toString(), 'held and more')

  await driver.append('v', from('held'), { ...begin, closing: true })
  counted()
  await driver.abort('v')
  t.equal(await driver.upload('v'), undefined)
  t.equal(counted().PutObject, undefined)
  t.same(await leftovers(), [])
})

t.test('a large upload is in parts', async t => {
  for (const [size, parts, last] of [
    [15 * MIB, 3, 0],
    [15 * MIB + 1, 3, 1],
    [6 * MIB, 1, 1]
  ] as const) {
    const { driver, another, counted, leftovers } = await open(t)
    const bytes = randomBytes(size)
    t.equal(await driver.append('u', inPieces(bytes, 70_000), { ...begin, closing: true }), size)
    t.same(await driver.commit('u', 'made', { size, writer: 'one' }), { size, existed: false })
    // The record: when the upload begins, after each part, and before the end.
    t.same(counted(), {
      PutObject: parts + 2,
      CreateMultipartUpload: 1,
      UploadPart: parts + last,
      CompleteMultipartUpload: 1,
      DeleteObject: 1
    })
    t.ok((await whole(await another(), 'made')).equals(bytes))
    t.same(await leftovers(), [])
  }
})

t.test('small chunks are written twice, whichever replica they reach', async t => {
  const { driver, another, sent, leftovers } = await open(t)
  const replicas = [driver, await another()]
  const bytes = randomBytes(12 * MIB)
  const chunk = 64 * 1024
  let state: UploadState | undefined
  for (let at = 0; at < bytes.length; at += chunk) {
    const replica = at < 6 * MIB ? driver : replicas[(at / chunk) % 2]!
    const source = from(bytes.subarray(at, at + chunk))
    state = { size: await replica.append('u', source, { ...begin, from: state }), writer: 'one' }
    if (at === 6 * MIB - chunk) {
      t.ok(sent.bytes < 2.5 * at, `${sent.bytes} bytes were sent for ${at}`)
      t.same(
        (await uploadsIn(driver)).map(({ id }) => id),
        ['u']
      )
    }
  }
  t.same(await driver.commit('u', 'made', state), { size: bytes.length, existed: false })
  t.ok((await whole(driver, 'made')).equals(bytes))
  t.same(await leftovers(), [])
})

t.test('crumbs are merged', async t => {
  const { driver, sent, record, leftovers } = await open(t)
  const bytes = randomBytes(300)
  let state: UploadState | undefined
  for (const byte of bytes) {
    state = { size: await driver.append('u', from(Buffer.of(byte)), { ...begin, from: state }), writer: 'one' }
  }
  t.ok((await record('u')).tails.length <= 129)
  t.ok(sent.bytes < 300 * 20_000)
  await driver.commit('u', 'made', state)
  t.ok((await whole(driver, 'made')).equals(bytes))
  t.same(await leftovers(), [])
})

t.test('parts are equal where they have to be, also with hardly any memory', async t => {
  const { driver, record, leftovers } = await open(t, { partGrowth: false, bufferMemory: MIB })
  const contents = Array.from({ length: 4 }, () => randomBytes(13 * MIB))
  const sizes = await Promise.all(
    contents.map((bytes, i) => driver.append(`u${i}`, inPieces(bytes, 100_000), { ...begin, key: `made/${i}` }))
  )
  for (const [i, size] of sizes.entries()) {
    t.same(
      (await record(`u${i}`)).parts.map(part => part.size),
      [5 * MIB, 5 * MIB]
    )
    await driver.commit(`u${i}`, `made/${i}`, { size, writer: 'one' })
    t.ok((await whole(driver, `made/${i}`)).equals(contents[i]!))
  }
  t.same(await leftovers(), [])
})

t.test('a crash leaves the parts, and another process goes on after them', async t => {
  const { driver, another, leftovers } = await open(t)
  const bytes = randomBytes(12 * MIB)
  const { source, stuck } = stuckAfter(bytes)
  void driver.append('u', source, begin).catch(() => undefined) // it never ends
  await stuck
  const peer = await another()
  const state = await settled(peer, 10 * MIB)
  t.same(state, { size: 10 * MIB, writer: 'one' })
  const size = await peer.append('u', from(bytes.subarray(10 * MIB)), { ...begin, from: state, writer: 'two' })
  t.same(await peer.commit('u', 'made', { size, writer: 'two' }), { size: 12 * MIB, existed: false })
  t.ok((await whole(peer, 'made')).equals(bytes))
  t.same(await leftovers(), [])
})

for (const late of ['before', 'after'] as const) {
  t.test(`a late part of a stuck writer, ${late} the commit, changes nothing`, async t => {
    const { driver, another, leftovers } = await open(t)
    const bytes = randomBytes(12 * MIB)
    const { source, stuck, go } = stuckAfter(bytes)
    const losing = fault(t, 'conflict', driver.append('u', source, begin), 'the stuck writer hears of it')
    await stuck
    const peer = await another()
    const state = await settled(peer, 10 * MIB)
    const rest = randomBytes(7 * MIB)
    const size = await peer.append('u', inPieces(rest, 100_000), { ...begin, from: state, writer: 'two' })
    if (late === 'before') {
      go()
      await losing
    }
    t.same(await peer.commit('u', 'made', { size, writer: 'two' }), { size: 17 * MIB, existed: false })
    go()
    await losing
    t.ok((await whole(peer, 'made')).equals(Buffer.concat([bytes.subarray(0, 10 * MIB), rest])))
    t.same(await leftovers(), [])
  })
}

t.test('nothing is left of an upload in parts that was aborted', async t => {
  const { driver, another, leftovers } = await open(t)
  const peer = await another()
  await driver.append('u', inPieces(randomBytes(11 * MIB), 100_000), begin)
  t.not((await leftovers()).length, 0)
  await peer.abort('u')
  await peer.abort('u')
  t.same(await leftovers(), [])

  const { source, stuck, go } = stuckAfter(randomBytes(6 * MIB))
  const losing = fault(t, 'conflict', driver.append('u', source, begin))
  await stuck
  await settled(peer, 5 * MIB)
  await peer.abort('u')
  go()
  await losing
  t.same(await leftovers(), [])
})

t.test('an upload in parts replaces nothing', async t => {
  const { driver, leftovers } = await open(t)
  await driver.put('made', Buffer.from('first'))
  for (const closing of [true, false]) {
    const size = await driver.append('u', inPieces(randomBytes(6 * MIB), 100_000), { ...begin, closing })
    t.same(await driver.commit('u', 'made', { size, writer: 'one' }), { size: 5, existed: true })
    t.equal((await driver.get('made'))?.bytes.toString(), 'first')
    t.same(await leftovers(), [])
  }
})

t.test('an upload is committed where it was said to go', async t => {
  const { driver } = await open(t)
  const size = await driver.append('u', from('abc'), begin)
  await fault(t, 'failed', driver.commit('u', 'elsewhere', { size, writer: 'one' }))
  t.same(await driver.commit('u', 'made', { size, writer: 'one' }), { size, existed: false })
})

t.test('what another process took over is not committed by who held its end', async t => {
  const { driver, another } = await open(t)
  const peer = await another()
  const size = await driver.append('u', inPieces(randomBytes(6 * MIB), 100_000), { ...begin, closing: true })
  const seen = await peer.upload('u')
  t.same(seen, { size: 5 * MIB, writer: 'one' })
  const more = await peer.append('u', from('other'), { ...begin, from: seen, writer: 'two' })
  await fault(t, 'conflict', driver.commit('u', 'made', { size, writer: 'one' }))
  t.same(await driver.upload('u'), { size: more, writer: 'two' }, 'the truth is the store’s')
  t.same(await driver.commit('u', 'made', { size: more, writer: 'two' }), { size: more, existed: false })
})
