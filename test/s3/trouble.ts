/**
 * `trouble.ts [PUSHES [SEED]]`: pushes and pulls on MinIO, and half as many on versitygw, while one in twenty requests
 * of S3 meets with trouble, and while S3 is as good as away.
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from '../clients/commands.ts'
import { digestOf, seededBuffer } from '../reliability/bytes.ts'
import { environment } from '../reliability/program.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startServer } from '../reliability/server-process.ts'
import { assertInjected, startInjector } from './injector.ts'
import { createPatientClient, type PatientClient } from './patient.ts'
import { startMinio, startVersitygw } from './servers.ts'

const wanted = Number(process.argv[2] ?? 500)
const seed = Number(process.argv[3] ?? randomInt(2 ** 31))
const share = 0.05
const atOnce = 40
const awayMs = 8000
const expiryMs = 60_000
const kibibyte = 1024
const mebibyte = 1024 * kibibyte
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

await withScratch(30, async (checks, scratch) => {
  console.log(`the seed is ${seed}`)
  for (const { start, torn, pushes } of [
    { start: startMinio, torn: false, pushes: wanted },
    // It keeps what it got of an object whose connection broke (docs/s3.md).
    { start: startVersitygw, torn: true, pushes: Math.ceil(wanted / 2) }
  ]) {
    const s3 = await start(scratch)
    const storage = await s3.createBucket()
    const injector = await startInjector({
      endpoint: s3.endpoint,
      bucket: storage.S3_BUCKET!,
      seed,
      without: torn ? ['torn'] : []
    })
    const settings = { ...storage, S3_ENDPOINT: injector.url, S3_PART_SIZE: '5MiB' }
    const server = await startServer({ storage: settings, log: scratch.log })
    const check = (what: string, run: () => Promise<string | undefined>) => checks.check(`${s3.name}: ${what}`, run)
    await check(`${pushes} pushes and pulls end well though 1 in 20 requests of S3 meets with trouble`, async () => {
      injector.trouble(share)
      const client = createPatientClient(server.url, { torn })
      await inParallel(pushes, number => pushAndPull(client, number))
      injector.trouble(0)
      return figuresOf(client)
    })
    await check('trouble there was', async () => assertInjected(injector, share))
    await check('while S3 is as good as away pushes are refused with 503, and end well after', async () => {
      const client = createPatientClient(server.url, { torn })
      const pushing = inParallel(atOnce, number => pushAndPull(client, pushes + number))
      await sleep(500)
      injector.trouble(1)
      await sleep(awayMs)
      injector.trouble(0)
      await pushing
      assert.ok(client.met.refusals > 0, 'nothing was refused')
      return figuresOf(client)
    })
    await check('nothing is left of the uploads when those have expired that nobody could go on with', async () => {
      const leftovers = () => s3.uploadsIn(storage.S3_BUCKET!, injector.multipartKeys)
      if ((await leftovers()).length > 0) await expireUploads(storage)
      assert.deepEqual(await leftovers(), [])
      assert.ok(injector.multipartKeys.size > pushes / 16, 'there were uploads in parts')
      return `${injector.multipartKeys.size} were in parts`
    })
    await server.stop()
    injector.close()
    await s3.stop()
  }
})

/** Such as of a POST with a whole blob, of which S3 was away when it was to be taken away again. */
async function expireUploads(storage: Record<string, string>): Promise<void> {
  await sleep(expiryMs + 2000)
  const env = environment({ ...storage, UPLOAD_EXPIRY: `${expiryMs / 60_000}m`, LOG_LEVEL: 'warn' })
  await run(process.execPath, [join(import.meta.dirname, '../../dist/src/cli.js'), 'gc'], { env })
}

async function inParallel(count: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await work(next++)
  }
  const outcomes = await Promise.allSettled(Array.from({ length: atOnce }, worker))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

/** A small image, of which each way to push a blob has its turn; three in sixteen have a layer of several parts. */
async function pushAndPull(client: PatientClient, number: number): Promise<void> {
  const repository = `troubled/image-${number % 20}`
  const layer = seededBuffer(number, sizeOf(number))
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', author: String(number) }))
  await client.pushByPost(repository, config)
  if (number % 4 === 1) await client.pushByPost(repository, layer)
  else await client.pushChunks(repository, layer, number % 4 === 2 ? Math.ceil(layer.length / 3) : layer.length)
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptorOf('application/vnd.oci.image.config.v1+json', config),
      layers: [descriptorOf('application/vnd.oci.image.layer.v1.tar', layer)]
    })
  )
  const byTag = `/v2/${repository}/manifests/v${number}`
  const headers = { 'content-type': manifestType }
  await client.ask([201], byTag, { method: 'PUT', headers, body: manifest })
  assert.ok((await client.pull(byTag)).equals(manifest))
  for (const bytes of [config, layer]) {
    assert.ok((await client.pull(`/v2/${repository}/blobs/${digestOf(bytes)}`)).equals(bytes))
  }
}

function sizeOf(number: number): number {
  return number % 16 < 3 && number % 16 > 0 ? 11 * mebibyte + number : (1 + (number % 50)) * kibibyte + number
}

function descriptorOf(mediaType: string, bytes: Buffer) {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

function figuresOf({ met }: PatientClient): string {
  return `${met.refusals} requests were refused with 503, ${met.broken} connections broke, ${met.anew} uploads were begun anew`
}
