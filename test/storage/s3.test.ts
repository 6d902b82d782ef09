import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t from 'tap'
import { loadConfig } from '../../src/config.ts'
import { type Bucket, openBucket } from '../../src/storage/s3/bucket.ts'
import { explain } from '../../src/storage/s3/check.ts'
import { S3_DEFAULTS } from '../../src/storage/s3/defaults.ts'
import { isPassing, patiently, RequestFailed, storageError } from '../../src/storage/s3/errors.ts'
import { createBudget, createGathering, MOST_PARTS, sizeOfPart } from '../../src/storage/s3/parts.ts'
import { openS3 } from '../../src/storage/s3.ts'
import { MIB } from '../../src/storage-contract/parts.ts'

const refusal = (code: string, status?: number): RequestFailed =>
  new RequestFailed('GetObject', {
    name: code,
    message: 'S3 said so',
    ...(status && { $metadata: { httpStatusCode: status } })
  })

t.test('an embedder gets the defaults of the configuration', t => {
  const { s3, bufferMemoryBytes } = loadConfig({ STORAGE_DRIVER: 's3', S3_BUCKET: 'images', S3_REGION: 'eu-central-1' })
  t.match({ ...s3, bufferMemory: bufferMemoryBytes }, S3_DEFAULTS)
  t.end()
})

t.test('encryption and storage class go with what is written', async t => {
  const env = { STORAGE_DRIVER: 's3', S3_BUCKET: 'images', S3_REGION: 'eu-central-1', S3_STORAGE_CLASS: 'STANDARD_IA' }
  const opened = async (more: NodeJS.ProcessEnv): Promise<Bucket> => {
    const bucket = await openBucket(loadConfig({ ...env, ...more }).s3!)
    t.teardown(() => bucket.client.destroy())
    return bucket
  }
  const plain = await opened({})
  t.strictSame([plain.encryption, plain.contentClass], [{}, { StorageClass: 'STANDARD_IA' }])
  const encrypted = await opened({ S3_SSE: 'aws:kms', S3_KMS_KEY_ID: 'alias/registry', S3_STORAGE_CLASS: '' })
  t.strictSame(encrypted.encryption, { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: 'alias/registry' })
  t.strictSame(encrypted.contentClass, {})
})

t.test('what S3 says becomes a fault', async t => {
  for (const [code, status, expected] of [
    ['SlowDown', 503, 'unavailable'],
    ['InternalError', 500, 'unavailable'],
    ['Unknown', 502, 'unavailable'],
    ['TooManyRequests', 429, 'unavailable'],
    ['NoSuchBucket', 404, 'unavailable'],
    ['TimeoutError', undefined, 'unavailable'],
    ['ECONNRESET', undefined, 'unavailable'],
    ['XMinioStorageFull', 507, 'full'],
    ['QuotaExceeded', 403, 'full'],
    ['Unknown', 507, 'full'],
    ['AccessDenied', 403, 'failed'],
    ['SignatureDoesNotMatch', 403, 'failed']
  ] as const) {
    const cause = refusal(code, status)
    t.match(storageError(cause, 'images'), {
      fault: expected,
      message: `GetObject in bucket images: ${code}: S3 said so`,
      cause
    })
  }
  const other = new TypeError('not S3’s')
  t.equal(storageError(other, 'images'), other)
})

t.test('what may pass is tried again', async t => {
  t.equal(isPassing(refusal('NoSuchBucket', 404)), false)
  t.equal(isPassing(refusal('ConditionalRequestConflict', 409)), true)
  let tries = 0
  const answer = await patiently(async () => {
    if (++tries < 3) throw refusal('SlowDown', 503)
    return 'well'
  })
  t.same([answer, tries], ['well', 3])
  tries = 0
  const denied = refusal('AccessDenied', 403)
  const deny = async (): Promise<never> => {
    tries++
    throw denied
  }
  await t.rejects(patiently(deny), denied)
  t.equal(tries, 1)
})

t.test('why a bucket cannot be used, in a line that names what to mend', async t => {
  const options = { bucket: 'images', region: 'eu-central-1', endpoint: 'https://s3.example', forcePathStyle: true }
  for (const [code, status, expected] of [
    ['NoSuchBucket', 404, /bucket images does not exist.* S3_BUCKET/],
    ['InvalidAccessKeyId', 403, /AWS_ACCESS_KEY_ID/],
    ['SignatureDoesNotMatch', 403, /AWS_SECRET_ACCESS_KEY/],
    ['ExpiredToken', 400, /AWS_SESSION_TOKEN/],
    ['CredentialsProviderError', undefined, /There is no access key/],
    ['AccessDenied', 403, /may not list the bucket images .*AWS_ACCESS_KEY_ID/],
    ['PermanentRedirect', 301, /not in eu-central-1: see S3_REGION/],
    ['AuthorizationHeaderMalformed', 400, /S3_REGION/],
    ['RequestTimeTooSkewed', 403, /set the clock/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', undefined, /https:\/\/s3\.example is not trusted .*S3_CA_FILE/],
    ['ERR_TLS_CERT_ALTNAME_INVALID', undefined, /S3_ENDPOINT/],
    ['EPROTO', undefined, /does not speak TLS.*S3_ENDPOINT/],
    ['ENOTFOUND', undefined, /cannot be reached \(ENOTFOUND\): see S3_ENDPOINT/],
    ['Unknown', 400, /would not list.*S3_ENDPOINT/]
  ] as const) {
    const sentence = explain(refusal(code, status), 'list', options)
    t.match(sentence, expected)
    t.match(sentence, /^\S.*\.$/, 'one line')
  }
})

t.test('15.20: a wrong style of URLs and a wrong scheme are named as such', async t => {
  const options = { bucket: 'images', region: 'eu-central-1', endpoint: 'http://s3.example', forcePathStyle: false }
  for (const code of ['NoSuchBucket', 'ENOTFOUND']) {
    const status = code === 'ENOTFOUND' ? undefined : 404
    t.match(explain(refusal(code, status), 'list', options), new RegExp(`\\(${code}\\): see S3_FORCE_PATH_STYLE, `))
  }
  const path = { ...options, forcePathStyle: true }
  for (const [code, status] of [
    ['ECONNRESET', undefined],
    ['HPE_INVALID_CONSTANT', undefined],
    ['Unknown', 400],
    ['Error', 400]
  ] as const) {
    const sentence = explain(refusal(code, status), 'list', path)
    t.match(sentence, /does not answer in plain HTTP \(\w+\): see S3_ENDPOINT, which may have to begin with https:/)
    t.notMatch(explain(refusal(code, status), 'list', { ...path, endpoint: 'https://s3.example' }), /plain HTTP/)
  }
  t.notMatch(explain(refusal('InvalidRequest', 400), 'list', path), /plain HTTP/)
})

t.test('15.20: an endpoint that accepts and says nothing stops the start in one line', async t => {
  const sockets = new Set<Socket>()
  const silent = createServer(socket => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    silent.close()
  })
  const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
  const opening = openS3({ bucket: 'images', region: 'eu', endpoint, forcePathStyle: true, credentials, answerMs: 20 })
  await t.rejects(opening, {
    name: 'StorageError',
    message: `${endpoint} gives no answer within 0.02 s: see S3_ENDPOINT.`
  })
})

t.test('parts grow so that they reach far', async t => {
  const reach = (size: number, grows: boolean): number => {
    let bytes = 0
    for (let number = 1; number <= MOST_PARTS; number++) bytes += sizeOfPart({ size, grows }, number)
    return bytes / 1024 ** 3
  }
  t.equal(Math.floor(reach(8 * MIB, true)), 557)
  t.equal(Math.floor(reach(8 * MIB, false)), 78)
  t.ok(reach(525 * MIB, true) > 5 * 1024)
  t.equal(sizeOfPart({ size: 8 * MIB, grows: true }, MOST_PARTS), 64 * MIB)
})

t.test('crumbs are gathered into blocks, and keep their order', async t => {
  const gathering = createGathering()
  const bytes = randomBytes(400_000)
  for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7) % 9973) {
    gathering.add(bytes.subarray(at, at + step))
  }
  t.equal(gathering.size(), bytes.length)
  t.ok(Buffer.concat(gathering.take()).equals(bytes))
  t.equal(gathering.size(), 0)
  for (let i = 0; i < 100_000; i++) gathering.add(bytes.subarray(i, i + 1))
  const blocks = gathering.take()
  t.ok(blocks.length <= 3, 'a block is 64 KiB')
  t.ok(Buffer.concat(blocks).equals(bytes.subarray(0, 100_000)))
})

t.test('memory is short for those that have their share', async t => {
  const budget = createBudget(8 * MIB)
  const [first, second] = [budget.open(), budget.open()]
  first.hold(7 * MIB)
  t.equal(first.isShort(7 * MIB), false)
  second.hold(MIB)
  t.equal(first.isShort(7 * MIB), true)
  t.equal(second.isShort(MIB), false, 'it has less than half of its share')
  first.hold(-MIB)
  t.equal(first.isShort(6 * MIB), false)
  first.end()
  second.hold(7 * MIB)
  t.equal(second.isShort(8 * MIB), true)
  second.end()
  t.equal(budget.open().isShort(8 * MIB), false, 'all is given back')
})
