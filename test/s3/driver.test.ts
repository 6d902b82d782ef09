import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { CreateBucketCommand, DeleteBucketCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { openS3, type S3Options } from '../../src/storage/s3.ts'
import { fault, from, keysIn, MIB, whole } from '../../src/storage-contract/parts.ts'
import { bucket, caFile, endpoint, keysBelow, openScratch, s3, scratchPrefix, settings } from '../support/s3.ts'

t.test('says in one line why the bucket cannot be used', async t => {
  const credentials = { accessKeyId: 'nobody', secretAccessKey: 'nothing-that-fits' }
  for (const [options, expected] of [
    [{ bucket: 'marina-no-such-bucket' }, /^The bucket marina-no-such-bucket does not exist: .*S3_BUCKET\.$/],
    [{ credentials }, /^S3 does not know the access key: see AWS_ACCESS_KEY_ID\.$/],
    [
      { credentials: { ...settings().credentials!, secretAccessKey: 'nothing-that-fits' } },
      /^The secret does not belong to the access key: see AWS_SECRET_ACCESS_KEY\.$/
    ],
    [
      { endpoint: 'http://127.0.0.1:9' },
      /^http:\/\/127\.0\.0\.1:9 cannot be reached \(ECONNREFUSED\): see S3_ENDPOINT\.$/
    ]
  ] as const) {
    const error = await fault(t, 'failed', openS3(settings(options)))
    t.match(error.message, expected)
    t.notMatch(JSON.stringify([error.message, error.cause]), /nothing-that-fits/)
  }
})

t.test('a certificate of the server’s own', async t => {
  if (!caFile) return
  const error = await fault(t, 'failed', openS3(settings({ caFile: undefined })))
  t.match(error.message, /^The certificate of https:\S+ is not trusted \([A-Z_]+\): see S3_CA_FILE\.$/)
  const missing = await fault(t, 'failed', openS3(settings({ caFile: `${caFile}-not` })))
  t.match(missing.message, /S3_CA_FILE\.$/)
  const driver = await openS3(settings({ caFile: undefined, insecureSkipVerify: true }))
  t.equal(driver.dialect.conditionalPuts, true)
  await driver.close()
  const plain = await fault(t, 'failed', openS3(settings({ endpoint: endpoint!.replace('https:', 'http:') })))
  t.match(plain.message, /S3_ENDPOINT, which may have to begin with https:\/\/\.$/)
})

t.test('a server that speaks no TLS', async t => {
  if (caFile) return
  const error = await fault(t, 'failed', openS3(settings({ endpoint: endpoint!.replace('http:', 'https:') })))
  t.match(error.message, /^https:\S+ does not speak TLS: see S3_ENDPOINT/)
})

t.test('the server keeps to conditions, and the probe leaves nothing', async t => {
  const prefix = await scratchPrefix(t)
  const driver = await openS3(settings({ prefix }))
  t.equal(driver.dialect.conditionalPuts, true)
  t.same(await keysBelow(prefix), [])
  await driver.close()
})

t.test('keys of the driver’s own are refused, and never listed', async t => {
  const driver = await openScratch(t)
  const append = { key: 'made', from: undefined, writer: 'one' }
  await driver.append('u', from('x'), append)
  for (const key of ['tmp', 'tmp/x', 'uploads', 'uploads/u']) {
    await fault(t, 'failed', driver.get(key))
    await fault(t, 'failed', driver.put(key, Buffer.alloc(0)))
    await fault(t, 'failed', driver.delete([key]))
    await fault(t, 'failed', driver.append('v', from('x'), { ...append, key }))
    await fault(t, 'failed', driver.commit('u', key, { size: 1, writer: 'one' }))
  }
  await driver.put('uploads-of-mine', Buffer.alloc(0))
  await driver.put('zoo/x', Buffer.alloc(0))
  t.same(await keysIn(driver, ''), ['uploads-of-mine', 'zoo/x'])
  t.same(await keysIn(driver, '', { folders: true, limit: 2 }), ['uploads-of-mine', 'zoo/'])
  t.same(await keysIn(driver, 'u'), ['uploads-of-mine'])
  t.same(await keysIn(driver, 'uploads/'), [])
})

t.test('counts what it asks for', async t => {
  const counts: string[] = []
  const driver = await openScratch(t, { onRequest: operation => counts.push(operation) })
  const costs = async (work: () => Promise<unknown>): Promise<string[]> => {
    counts.length = 0
    await work()
    return [...counts]
  }
  t.same(await costs(() => driver.put('a/b', Buffer.from('abc'), { ifAbsent: true })), ['PutObject'])
  t.same(await costs(() => driver.get('a/b')), ['GetObject'])
  t.same(await costs(() => driver.stat('a/b')), ['HeadObject'])
  t.same(await costs(() => whole(driver, 'a/b')), ['GetObject'])
  for (const options of [{}, { after: 'a/a', folders: true }, { limit: 1 }, { limit: 1000 }]) {
    t.same(await costs(() => driver.list('a/', options)), ['ListObjectsV2'])
  }
  t.same(await costs(() => driver.delete(['a/1', 'a/2', 'a/3'])), ['DeleteObjects'])
  const many = Array.from({ length: 2001 }, (_, number) => `a/${number}`)
  t.same(await costs(() => driver.delete(many)), ['DeleteObjects', 'DeleteObjects', 'DeleteObjects'])
  t.same(await costs(() => driver.delete(['a/1', 'a/2'], { ordered: true })), ['DeleteObject', 'DeleteObject'])
  t.same(await costs(() => driver.delete(['a/1'])), ['DeleteObject'])
  t.same(await costs(() => driver.delete([])), [])
  t.same(await costs(() => driver.url('a/b', { expiresMs: 60_000 })), [])
})

t.test('makes URLs that anyone may read', async t => {
  if (endpoint?.startsWith('https:')) return
  const driver = await openScratch(t)
  await driver.put('a/b', Buffer.from('abc'))
  const url = await driver.url('a/b', { expiresMs: 60_000 })
  t.match(url, /X-Amz-Expires=60/)
  t.equal(await (await fetch(url!)).text(), 'abc')
  t.equal((await fetch(url!.replace(/X-Amz-Signature=..../, 'X-Amz-Signature=0000'))).status, 403)
})

t.test('a body that nobody reads gives its connection back', async t => {
  const driver = await openScratch(t, { maxSockets: 1 })
  await driver.put('large', Buffer.alloc(8 * MIB, 'x'))
  const unread = await driver.read('large')
  t.equal((await driver.stat('large'))?.size, 8 * MIB, 'it would wait for ever')
  let read = 0
  for await (const chunk of unread!.chunks) read += chunk.length
  t.equal(read, 8 * MIB, 'it can be read all the same')
  for await (const _ of (await driver.read('large'))!.chunks) break
  t.equal((await driver.stat('large'))?.size, 8 * MIB)
})

t.test('reads are large while there is memory for them', async t => {
  const bytes = randomBytes(16 * MIB)
  const largestRead = async (options: Partial<S3Options>): Promise<number> => {
    const driver = await openScratch(t, options)
    await driver.put('large', bytes)
    const chunks: Uint8Array[] = []
    for await (const chunk of (await driver.read('large'))!.chunks) {
      await sleep(10) // so that there is something to read
      chunks.push(Buffer.from(chunk))
    }
    t.ok(Buffer.concat(chunks).equals(bytes), 'no chunk is written over before the next one is asked for')
    return Math.max(...chunks.map(chunk => chunk.length))
  }
  const largest = await largestRead({})
  t.ok(largest > MIB / 4 && largest <= 2 * MIB, `${largest} bytes at most`)
  const least = await largestRead({ bufferMemory: MIB / 4 })
  t.ok(least <= MIB / 8, `${least} bytes at most`)
})

t.test('connections of large bodies are given back, wherever a reader leaves', async t => {
  const driver = await openScratch(t, { maxSockets: 1 })
  const bytes = randomBytes(9 * MIB)
  await driver.put('large', bytes)
  for (let leaveAt = 0; leaveAt <= 9; leaveAt += 3) {
    let read = 0
    for await (const chunk of (await driver.read('large', { start: 1, end: 9 * MIB - 1 }))!.chunks) {
      t.ok(bytes.subarray(1 + read, 1 + read + chunk.length).equals(chunk))
      read += chunk.length
      if (read >= leaveAt * MIB) break
    }
    t.ok((await whole(driver, 'large')).equals(bytes), `after ${read} bytes`)
  }
})

t.test('a bucket that went is no empty one', async t => {
  const gone = `${bucket}-gone`
  const client = await s3()
  await client.send(new CreateBucketCommand({ Bucket: gone }))
  const driver = await openS3(settings({ bucket: gone }))
  await client.send(new DeleteBucketCommand({ Bucket: gone }))
  for (const [i, call] of [
    () => driver.stat('k'),
    () => driver.get('k'),
    () => driver.read('k'),
    () => driver.read('k', { start: 2, end: 1 }),
    () => driver.list(''),
    () => driver.put('k', Buffer.from('x')),
    () => driver.put('k', Buffer.from('x'), { ifAbsent: true }),
    () => driver.upload('u'),
    () => driver.abort('u'),
    () => driver.commit('u', 'k', undefined),
    () => driver.append('u', from('x'), { key: 'k', from: undefined, writer: 'one' }),
    () => driver.listUploads()[Symbol.asyncIterator]().next()
  ].entries()) {
    const error = await fault(t, 'unavailable', call(), `call ${i} without the bucket`)
    t.match(error.message, new RegExp(`^\\w+ in bucket ${gone}: `))
  }
  await driver.close()
})
