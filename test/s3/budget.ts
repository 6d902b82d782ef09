/** How many requests of S3 each request to the registry costs, against what docs/storage.md says. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buildApp } from '../../src/app.ts'
import { defaults } from '../../src/config.ts'
import { openS3 } from '../../src/storage/s3.ts'
import { digestOf, seededBuffer, seededBytes, sha256 } from '../reliability/bytes.ts'
import { expect } from '../reliability/http.ts'
import { pushAtOnce, pushStreamed } from '../reliability/large-blob.ts'
import { withScratch } from '../reliability/scratch.ts'
import { startVersitygw } from './servers.ts'

const GiB = 2 ** 30
const partBytes = 8 * 2 ** 20
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** Requests by S3's name of them. */
type Costs = Map<string, number>

await withScratch(5, async (checks, scratch) => {
  const server = await startVersitygw(scratch)
  const { S3_BUCKET: bucket = '' } = await server.createBucket()
  const costs: Costs = new Map()
  /** Another replica, which has seen nothing yet. */
  const replica = async () => {
    const storage = await openS3({
      bucket,
      endpoint: server.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: server,
      partSize: partBytes,
      onRequest: operation => costs.set(operation, (costs.get(operation) ?? 0) + 1)
    })
    const app = await buildApp({ ...defaults, logLevel: 'silent', openapiEnabled: false }, { storage })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  }
  const check = (what: string, run: () => Promise<unknown>) =>
    checks.check(what, async () => {
      costs.clear()
      await run()
      const total = [...costs.values()].reduce((sum, count) => sum + count, 0)
      const each = [...costs].map(([operation, count]) => `${operation} ${count}`).join(', ')
      assert.equal(total, budgetOf(what), each)
      return `${total} requests (${each})`
    })

  const pushing = await replica()
  const image = imageOf(1)
  const larger = imageOf(5, 5)
  await pushImage(pushing, imageOf(0)) // so that the repository and the key of sessions are there
  await check('push of a small blob (POST, PUT)', () => pushBlob(pushing, seededBuffer(2, 10_000)))
  await check('push of a small blob by a single POST', () => pushByPost(pushing, seededBuffer(3, 10_000)))
  await check('push of a small image by tag (two blobs, manifest)', () => pushImage(pushing, image))
  for (const bytes of larger.blobs) await pushBlob(pushing, bytes)
  await check('PUT of a manifest with 6 blobs by a new tag', () => pushManifest(pushing, larger))
  await check('PUT of it by a tag that another image has', () => pushManifest(pushing, { ...larger, tag: image.tag }))
  await pushManifest(pushing, image)
  await check('HEAD of a blob', () => ask(pushing, 'HEAD', `blobs/${digestOf(image.blobs[0]!)}`))
  await check('HEAD of a blob that is not there', () => ask(pushing, 'HEAD', `blobs/sha256:${'0'.repeat(64)}`, 404))
  const pulling = await replica()
  await check('pull of a small image by tag (manifest, two blobs)', () => pullImage(pulling, image))
  await check('the same pull once more', () => pullImage(pulling, image))
  await check('GET of a manifest by tag, cached', () => ask(pulling, 'GET', `manifests/${image.tag}`))
  await check('GET of a manifest by digest, cached', () => ask(pulling, 'GET', `manifests/${digestOf(image.manifest)}`))
  await check('tags page', () => ask(pulling, 'GET', 'tags/list'))
  await check('referrers of a manifest that has none', () =>
    ask(pulling, 'GET', `referrers/${digestOf(image.manifest)}`)
  )
  const { digest } = await sha256(seededBytes(4, 0, GiB))
  await check('push of a 1 GiB layer by a streamed PATCH and an empty PUT', () =>
    pushStreamed(`${pushing}/v2/budget`, seededBytes(4, 0, GiB), digest, GiB)
  )
})

/** The number that the document's table has beside this request. */
function budgetOf(what: string): number {
  const document = readFileSync(join(import.meta.dirname, '../../docs/storage.md'), 'utf8')
  const [, section = ''] = document.split('\n## Requests to a bucket\n')
  const row = section.split('\n').find(line => line.startsWith(`| ${what} |`))
  assert.ok(row, `docs/storage.md has no row "${what}" under "Requests to a bucket"`)
  return Number(row.split('|')[2])
}

interface Image {
  blobs: Buffer[]
  manifest: Buffer
  tag: string
}

function imageOf(seed: number, layerCount = 1): Image {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', author: String(seed) }))
  const layers = Array.from({ length: layerCount }, (_, number) => seededBuffer(100 * seed + number, 10_000))
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: layers.map(layer => descriptor('application/vnd.oci.image.layer.v1.tar', layer))
  }
  return { blobs: [config, ...layers], manifest: Buffer.from(JSON.stringify(manifest)), tag: `v${seed}` }
}

async function pushBlob(url: string, bytes: Buffer): Promise<void> {
  await pushAtOnce(`${url}/v2/budget`, [bytes], digestOf(bytes), bytes.length)
}

async function pushByPost(url: string, body: Buffer): Promise<void> {
  await ask(url, 'POST', `blobs/uploads/?digest=${digestOf(body)}`, 201, body)
}

async function pushImage(url: string, image: Image): Promise<void> {
  for (const bytes of image.blobs) await pushBlob(url, bytes)
  await pushManifest(url, image)
}

async function pushManifest(url: string, { manifest, tag }: Image): Promise<void> {
  await ask(url, 'PUT', `manifests/${tag}`, 201, manifest, manifestType)
}

async function pullImage(url: string, { blobs, tag }: Image): Promise<void> {
  await ask(url, 'GET', `manifests/${tag}`)
  for (const bytes of blobs) {
    const { body } = await ask(url, 'GET', `blobs/${digestOf(bytes)}`)
    assert.ok(body.equals(bytes))
  }
}

function ask(url: string, method: string, path: string, status = 200, body?: Buffer, type?: string) {
  const headers = { 'content-type': type ?? 'application/octet-stream' }
  return expect(status, `${url}/v2/budget/${path}`, { method, ...(body && { headers, body }) })
}
