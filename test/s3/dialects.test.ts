import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import storageS3 from '../../plugins/storage-s3.ts'
import type { Dialect } from '../../src/storage/s3/dialect.ts'
import { openS3, type S3Driver } from '../../src/storage/s3.ts'
import { fault, from, inPieces, keysIn, MIB, whole } from '../../src/storage-contract/parts.ts'
import { endpoint, keysBelow, multipartsOf, scratchPrefix, settings } from '../support/s3.ts'
import { type Refusal, startProxy } from './proxy.ts'

/** The S3 operation that a request is. */
function operationOf({ method, url = '', headers }: IncomingMessage): string {
  const { pathname, searchParams: asked } = new URL(url, 'http://s3')
  const inBucket = pathname.split('/').filter(Boolean).length > 1
  switch (method) {
    case 'POST':
      if (asked.has('delete')) return 'DeleteObjects'
      return asked.has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload'
    case 'PUT':
      return asked.has('uploadId') ? 'UploadPart' : 'PutObject'
    case 'DELETE':
      return asked.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
    case 'HEAD':
      return inBucket ? 'HeadObject' : 'HeadBucket'
    default:
      if (asked.has('uploads')) return 'ListMultipartUploads'
      return inBucket && headers.range === undefined ? 'GetObject' : 'other'
  }
}

interface Case {
  title: string
  refuse(operation: string, request: IncomingMessage): Refusal | false
  /** What the start finds out that is not as on AWS. */
  dialect: Partial<Dialect>
}

const denied = { status: 403, code: 'AccessDenied' }
const absent = { status: 404, code: 'NoSuchKey' }
const notImplemented = { status: 501, code: 'NotImplemented' }
const conditional = ({ headers }: IncomingMessage): boolean => !!(headers['if-none-match'] ?? headers['if-match'])

const cases: Case[] = [
  { title: 'a server that does all', refuse: () => false, dialect: {} },
  {
    title: 'DeleteObjects requires Content-MD5',
    refuse: (operation, { headers }) =>
      operation === 'DeleteObjects' && !headers['content-md5'] && { status: 400, code: 'MissingContentMD5' },
    dialect: { deletion: 'md5' }
  },
  {
    title: 'DeleteObjects refuses the headers of newer checksums',
    refuse: (operation, { headers }) =>
      operation === 'DeleteObjects' &&
      Object.keys(headers).some(name => name.startsWith('x-amz-checksum')) && { status: 400, code: 'InvalidArgument' },
    dialect: { deletion: 'md5' }
  },
  ...[notImplemented, { status: 405, code: 'MethodNotAllowed' }, { status: 400, code: 'MalformedXML' }, denied].map(
    (refusal): Case => ({
      title: `DeleteObjects is answered ${refusal.status}`,
      refuse: operation => operation === 'DeleteObjects' && refusal,
      dialect: { deletion: 'single' }
    })
  ),
  {
    title: 'CompleteMultipartUpload knows no condition',
    refuse: (operation, request) => operation === 'CompleteMultipartUpload' && conditional(request) && notImplemented,
    dialect: { conditionalCompletes: false }
  },
  {
    title: 'no write knows a condition, there is no DeleteObjects, and DeleteObject of a missing key is 404',
    refuse: (operation, request) => {
      if (operation === 'DeleteObject' && /never-was|nor-this/.test(request.url ?? '')) return absent
      return (operation === 'DeleteObjects' || (conditional(request) && request.method !== 'GET')) && notImplemented
    },
    dialect: { conditionalPuts: false, conditionalCompletes: false, deletion: 'single' }
  },
  {
    title: 'the key may not use HeadBucket',
    refuse: operation => operation === 'HeadBucket' && denied,
    dialect: {}
  },
  {
    title: 'the key may not list multipart uploads',
    refuse: operation => operation === 'ListMultipartUploads' && denied,
    dialect: { listsMultiparts: false }
  }
]

for (const { title, refuse, dialect } of cases) {
  t.test(`15.27: everything works where ${title}`, async t => {
    const prefix = await scratchPrefix(t)
    const proxy = await startProxy(endpoint!, request => refuse(operationOf(request), request) || undefined)
    const driver = await openS3(settings({ prefix, endpoint: proxy.url, partSize: 5 * MIB }))
    t.teardown(async () => {
      await driver.close()
      proxy.close()
    })
    t.same(driver.dialect, {
      conditionalPuts: true,
      conditionalCompletes: true,
      deletion: 'crc32',
      listsMultiparts: true,
      ...dialect
    })
    t.same(await keysBelow(prefix), [], 'the start leaves nothing')
    await useAll(t, driver)
    t.same(await keysBelow(prefix), [`${prefix}/made/large`, `${prefix}/made/small`])
    for (const key of ['made/large', 'made/aborted']) t.same(await multipartsOf(`${prefix}/${key}`), [])
  })
}

/** All that a driver does, by every kind of request. What is left is `made/large` and `made/small`. */
async function useAll(t: Test, driver: S3Driver): Promise<void> {
  const bytes = randomBytes(11 * MIB)
  const begin = { key: 'made/large', from: undefined, writer: 'one' }
  // In two appends, so that there are tails and a record to delete together.
  const first = await driver.append('u', inPieces(bytes.subarray(0, 6 * MIB), 100_000), begin)
  const state = { size: first, writer: 'one' }
  const size = await driver.append('u', inPieces(bytes.subarray(first), 100_000), { ...begin, from: state })
  t.match(await driver.commit('u', 'made/large', { size, writer: 'one' }), { size, existed: false })
  t.ok((await whole(driver, 'made/large')).equals(bytes))
  await driver.append('v', from('small'), { ...begin, key: 'made/small', closing: true })
  t.match(await driver.commit('v', 'made/small', { size: 5, writer: 'one' }), { size: 5 })

  t.equal(await driver.stat('missing'), undefined)
  t.equal(await driver.put('a/tag', Buffer.from('1'), { ifAbsent: true }), true)
  t.equal(await driver.put('a/tag', Buffer.from('2'), { ifAbsent: true }), false)
  const many = Array.from({ length: 40 }, (_, number) => `a/${number}`)
  await Promise.all(many.map(key => driver.put(key, Buffer.from('x'))))
  await driver.delete([...many, 'a/never-was', 'a/tag'])
  t.same(await keysIn(driver, 'a/'), [])
  await driver.delete(['a/never-was'])
  await driver.delete(['a/never-was', 'a/nor-this'], { ordered: true })

  await driver.append('w', inPieces(randomBytes(9 * MIB), 100_000), { ...begin, key: 'made/aborted' })
  await driver.abort('w')
  t.equal(await driver.upload('w'), undefined)
}

t.test('15.27: where an object can be deleted in no way, the start says so', async t => {
  const prefix = await scratchPrefix(t)
  const proxy = await startProxy(endpoint!, request =>
    operationOf(request).startsWith('DeleteObject') ? denied : undefined
  )
  t.teardown(() => proxy.close())
  const error = await fault(t, 'failed', openS3(settings({ prefix, endpoint: proxy.url })))
  t.match(error.message, /^The access key may not delete in the bucket \S+ \(AccessDenied\): see AWS_ACCESS_KEY_ID\.$/)
})

t.test('15.27: a deletion that fails does not stop the others, where each is a request of its own', async t => {
  const prefix = await scratchPrefix(t)
  let started = false
  const proxy = await startProxy(endpoint!, request => {
    const operation = operationOf(request)
    if (operation === 'DeleteObjects') return notImplemented
    return started && operation === 'DeleteObject' && request.url?.includes('/a/7?') ? denied : undefined
  })
  const driver = await openS3(settings({ prefix, endpoint: proxy.url }))
  t.teardown(async () => {
    await driver.close()
    proxy.close()
  })
  const many = Array.from({ length: 40 }, (_, number) => `a/${number}`)
  await Promise.all(many.map(key => driver.put(key, Buffer.from('x'))))
  started = true
  const error = await fault(t, 'failed', driver.delete(many))
  t.match(error.message, /^DeleteObject in bucket \S+: AccessDenied/)
  t.same(await keysIn(driver, 'a/'), ['a/7'])
})

t.test('15.27: the log says at the start what is lost', async t => {
  for (const [refuse, expected] of [
    [cases.find(({ title }) => title.startsWith('CompleteM'))!.refuse, [/condition of CompleteMultipartUpload/]],
    [cases.find(({ title }) => title.startsWith('no write'))!.refuse, [/ignores the conditions of writes/]],
    [cases.find(({ title }) => title.includes('list multi'))!.refuse, [/s3:ListBucketMultipartUploads/]],
    [() => false as const, []]
  ] as const) {
    const prefix = await scratchPrefix(t)
    const proxy = await startProxy(endpoint!, request => refuse(operationOf(request), request) || undefined)
    const lines: { msg: string; level: number }[] = []
    const app = Fastify({
      logger: { level: 'warn', stream: { write: (line: string) => lines.push(JSON.parse(line)) } }
    })
    await app.register(storageS3, settings({ prefix, endpoint: proxy.url }))
    await app.ready()
    await app.close()
    proxy.close()
    t.equal(lines.length, expected.length)
    for (const [at, pattern] of expected.entries()) t.match(lines[at]!.msg, pattern)
  }
})
