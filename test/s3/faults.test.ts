import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import t, { type Test } from 'tap'
import { openS3, type S3Driver, type S3Options } from '../../src/storage/s3.ts'
import { fault, from, inPieces, MIB, whole } from '../../src/storage-contract/parts.ts'
import { endpoint, keysBelow, multipartsOf, scratchPrefix, settings } from '../support/s3.ts'
import { startProxy, type Trouble } from './proxy.ts'

/** A driver on the other side of a proxy. `trouble` is asked about each request. */
async function proxied(
  t: Test,
  options: Partial<S3Options>,
  trouble: (request: IncomingMessage) => Trouble | undefined
) {
  const prefix = await scratchPrefix(t)
  const proxy = await startProxy(endpoint!, trouble)
  const driver = await openS3(settings({ prefix, endpoint: proxy.url, partSize: 5 * MIB, ...options }))
  t.teardown(async () => {
    await driver.close()
    proxy.close()
  })
  const leftovers = async () => [...(await keysBelow(`${prefix}/uploads`)), ...(await multipartsOf(`${prefix}/made`))]
  return { driver, leftovers }
}

/** Each kind of request meets with a trouble the first time. */
function firstTime(trouble: Trouble, matches: (request: IncomingMessage) => boolean) {
  const met = new Set<string>()
  let on = false
  const ask = (request: IncomingMessage): Trouble | undefined => {
    if (!on || !matches(request)) return undefined
    const kind = `${request.method} ${request.url?.replace(/uploadId=[^&]*/, '')}`
    if (met.has(kind)) return undefined
    met.add(kind)
    return trouble
  }
  return { ask, start: () => (on = true), count: () => met.size }
}

async function pushAndPull(t: Test, driver: S3Driver): Promise<void> {
  const bytes = randomBytes(11 * MIB)
  const begin = { key: 'made/large', from: undefined, writer: 'one' }
  const size = await driver.append('u', inPieces(bytes, 100_000), begin)
  t.match(await driver.commit('u', 'made/large', { size, writer: 'one' }), { size })
  t.ok((await whole(driver, 'made/large')).equals(bytes))
  await driver.append('v', from('small'), { ...begin, key: 'made/small', closing: true })
  t.match(await driver.commit('v', 'made/small', { size: 5, writer: 'one' }), { size: 5 })
  await driver.put('a/b', Buffer.from('abc'))
  t.equal((await driver.get('a/b'))?.bytes.toString(), 'abc')
  t.equal((await driver.list('a/')).length, 1)
  await driver.delete(['a/b', 'a/c'])
  t.equal(await driver.stat('a/b'), undefined)
}

for (const trouble of ['busy', 'reset', 'lost', 'cut'] as const) {
  t.test(`all goes well where each request first meets with trouble: ${trouble}`, async t => {
    const troubled = firstTime(trouble, ({ method }) => trouble !== 'cut' || method === 'GET')
    const { driver, leftovers } = await proxied(t, {}, troubled.ask)
    troubled.start()
    await pushAndPull(t, driver)
    t.ok(troubled.count() > 3)
    t.same(await leftovers(), [])
  })
}

t.test('past its patience it says that the store is away, and the upload can be gone on with', async t => {
  let away = false
  const { driver, leftovers } = await proxied(t, {}, () => (away ? 'busy' : undefined))
  const bytes = randomBytes(12 * MIB)
  const begin = { key: 'made', from: undefined, writer: 'one' }
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield* inPieces(bytes.subarray(0, 10 * MIB), 100_000)
    while ((await driver.upload('u'))?.size !== 10 * MIB) await new Promise(setImmediate)
    away = true
    yield* inPieces(bytes.subarray(10 * MIB), 100_000)
  }
  await fault(t, 'unavailable', driver.append('u', source(), begin))
  await fault(t, 'unavailable', driver.stat('k'))
  away = false
  const state = await driver.upload('u')
  t.same(state, { size: 10 * MIB, writer: 'one' })
  const size = await driver.append('u', from(bytes.subarray(10 * MIB)), { ...begin, from: state, writer: 'two' })
  await driver.commit('u', 'made', { size, writer: 'two' })
  t.ok((await whole(driver, 'made')).equals(bytes))
  t.same(await leftovers(), [])
})

t.test('a record whose answer got lost is not taken for that of another writer', async t => {
  let records = 0
  const { driver } = await proxied(t, {}, ({ method, url = '' }) => {
    if (method !== 'PUT' || !/\/uploads\/u\?/.test(url)) return undefined
    records++
    return records === 1 ? undefined : records === 2 ? 'lost' : 'busy'
  })
  const begin = { key: 'made', from: undefined, writer: 'one' }
  await fault(t, 'unavailable', driver.append('u', from('abc'), begin))
  t.ok(records > 2, 'it was tried again')
  t.same(await driver.upload('u'), { size: 3, writer: 'one' }, 'what was noted down is gone on with')
})

t.test('parts go out several at a time, and none is kept without those before it', async t => {
  let refusing = true
  const met: number[] = []
  const { driver, leftovers } = await proxied(t, {}, ({ method, url = '' }) => {
    const number = method === 'PUT' ? Number(/partNumber=(\d+)/.exec(url)?.[1]) : 0
    if (number > 0) met.push(number)
    return refusing && number === 2 ? 'busy' : undefined
  })
  const bytes = randomBytes(22 * MIB)
  const begin = { key: 'made', from: undefined, writer: 'one' }
  await fault(t, 'unavailable', driver.append('u', inPieces(bytes, 100_000), begin))
  t.ok(met.includes(4), 'the fourth part did not wait for the second')
  const state = await driver.upload('u')
  t.same(state, { size: 5 * MIB, writer: 'one' })
  refusing = false
  met.length = 0
  const size = await driver.append('u', from(bytes.subarray(5 * MIB)), { ...begin, from: state, writer: 'two' })
  t.ok(Math.min(...met) > 5, 'numbers of parts that may be under way are not used again')
  t.match(await driver.commit('u', 'made', { size, writer: 'two' }), { existed: false })
  t.ok((await whole(driver, 'made')).equals(bytes))
  t.same(await leftovers(), [])
})

t.test('a server without conditional writes will do for one process', async t => {
  const conditional = ({ headers }: IncomingMessage) => !!(headers['if-none-match'] ?? headers['if-match'])
  const { driver, leftovers } = await proxied(t, {}, request => (conditional(request) ? 'unconditional' : undefined))
  t.equal(driver.dialect.conditionalPuts, false)
  const won = await Promise.all(
    Array.from({ length: 8 }, (_, i) => driver.put('race', Buffer.of(i), { ifAbsent: true }))
  )
  t.equal(won.filter(Boolean).length, 1)
  t.same((await driver.get('race'))?.bytes, Buffer.of(won.indexOf(true)))
  const begin = { key: 'made', from: undefined, writer: 'one' }
  const size = await driver.append('u', inPieces(randomBytes(6 * MIB), 100_000), begin)
  const late = { ...begin, from: { size, writer: 'one' } }
  const ends = await Promise.allSettled([1, 2, 3].map(() => driver.append('u', from('x'), late)))
  t.same(ends.map(end => end.status).sort(), ['fulfilled', 'rejected', 'rejected'])
  t.match(await driver.commit('u', 'made', { size: size + 1, writer: 'one' }), { existed: false })
  t.same(await leftovers(), [])
})
