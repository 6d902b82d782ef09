/**
 * `large.ts SIZE` (as `1GiB`): what large blobs cost in memory and in bytes that go to S3. From 20GiB on it is the long
 * form, in which the other blobs are larger as well.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { seededBytes, sha256 } from '../reliability/bytes.ts'
import {
  mebibyte,
  type PushLarge,
  parseSize,
  peakBelow,
  pullWhole,
  pushAtOnce,
  pushInChunks,
  pushStreamed,
  rateOf
} from '../reliability/large-blob.ts'
import { type Scratch, withScratch } from '../reliability/scratch.ts'
import { type ServerProcess, startServer } from '../reliability/server-process.ts'
import { startProxy } from './proxy.ts'
import { createSent, type Sent } from './sent.ts'
import { startMinio } from './servers.ts'

const gibibyte = 1024 * mebibyte
const memoryLimit = 300 * mebibyte
const chunk = 64 * 1024
const size = parseSize(process.argv[2] ?? '1GiB')
const long = size >= 20 * gibibyte

await withScratch(long ? 90 : 25, async (checks, scratch) => {
  const { check } = checks
  const pushed = (repository: string, seed: number, bytes: number, push: PushLarge) =>
    check(`a blob of ${text(bytes)} is pushed`, async () => {
      const { digest } = await sha256(seededBytes(seed, 0, bytes))
      const rate = await rateOf(bytes, () => push(repository, seededBytes(seed, 0, bytes), digest, bytes))
      await pullWhole(repository, digest)
      return `${rate}, and pulled with the same bytes`
    })
  const memory = (server: ServerProcess) =>
    check(`the server stays below ${text(memoryLimit)} of memory`, () => peakBelow(memoryLimit, server))

  await withRegistry(scratch, {}, async (server, repository, sent) => {
    await pushed(repository, 1, size, pushStreamed)
    await memory(server)
    if (long) await check('its parts grow', async () => partsText(sent, parts => assert.ok(parts[0]! < parts.at(-2)!)))
  })
  // S3 copies no object above 5 GiB in one request.
  if (long) await withRegistry(scratch, {}, (_, repository) => pushed(repository, 2, 6 * gibibyte, pushAtOnce))
  await withRegistry(scratch, {}, async (server, repository) => {
    const each = (long ? 512 : 64) * mebibyte
    await check(`20 blobs of ${text(each)} are pushed at once`, () => pushTogether(repository, 20, each))
    await memory(server)
  })
  await withRegistry(scratch, {}, async (_, repository, sent) => {
    const whole = (long ? 1024 : 32) * mebibyte
    await check(`a blob of ${text(whole)} in chunks of 64 KiB is written three times at most`, async () => {
      const { digest } = await sha256(seededBytes(3, 0, whole))
      const rate = await rateOf(whole, () => pushInChunks(repository, 3, digest, whole, chunk))
      await pullWhole(repository, digest)
      assert.ok(sent.bytes >= whole && sent.bytes <= 3 * whole, `${sent.bytes} bytes went to S3`)
      return `${(sent.bytes / whole).toFixed(2)} times, ${rate}`
    })
  })
  await withRegistry(scratch, { S3_PART_GROWTH: 'false', S3_PART_SIZE: '5MiB' }, async (_, repository, sent) => {
    const whole = long ? 3 * gibibyte : 256 * mebibyte
    await check('parts are equal with S3_PART_GROWTH=false', async () => {
      const { digest } = await sha256(seededBytes(4, 0, whole))
      // Chunks that no part ends with.
      await pushInChunks(repository, 4, digest, whole, 33 * mebibyte + 1)
      await pullWhole(repository, digest)
      return partsText(sent, parts => assert.deepEqual([...new Set(parts.slice(0, -1))], [5 * mebibyte]))
    })
  })
})

/** Runs a registry on a bucket of its own, and notes what it sends there. All that they stored is gone afterwards. */
async function withRegistry(
  scratch: Scratch,
  settings: Record<string, string>,
  run: (server: ServerProcess, repository: string, sent: Sent) => Promise<void>
): Promise<void> {
  const folder = await mkdtemp(join(scratch.folder, 's3-'))
  const s3 = await startMinio({ ...scratch, folder })
  const sent = createSent()
  let started = false
  // Not what the start tries.
  const proxy = await startProxy(s3.endpoint, asked => (started ? sent.note(asked) : undefined))
  const storage = { ...(await s3.createBucket()), ...settings, S3_ENDPOINT: proxy.url }
  const server = await startServer({ storage, log: scratch.log })
  started = true
  try {
    await run(server, `${server.url}/v2/large`, sent)
  } finally {
    await server.kill()
    proxy.close()
    await s3.kill()
    await rm(folder, { recursive: true, force: true })
  }
}

async function pushTogether(repository: string, count: number, bytes: number): Promise<string> {
  const seeds = Array.from({ length: count }, (_, number) => 100 + number)
  const digests: string[] = []
  for (const seed of seeds) digests.push((await sha256(seededBytes(seed, 0, bytes))).digest)
  const rate = await rateOf(count * bytes, () =>
    Promise.all(seeds.map((seed, at) => pushStreamed(repository, seededBytes(seed, 0, bytes), digests[at]!, bytes)))
  )
  for (const digest of digests) await pullWhole(repository, digest)
  return rate
}

/** Judges the parts of the one multipart upload there was. */
async function partsText(sent: Sent, judge: (parts: number[]) => void): Promise<string> {
  const [parts = [], ...more] = sent.parts()
  assert.ok(parts.length > 1 && more.length === 0, 'it was one multipart upload')
  judge(parts)
  return `${parts.length} parts of ${text(Math.min(...parts.slice(0, -1)))} to ${text(Math.max(...parts))}`
}

function text(bytes: number): string {
  return bytes % gibibyte === 0 ? `${bytes / gibibyte} GiB` : `${Math.round(bytes / mebibyte)} MiB`
}
