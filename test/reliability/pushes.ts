import { digestOf, seededBuffer } from './bytes.ts'
import { expect, locationOf, send } from './http.ts'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'

/** A small image, how its two blobs are pushed, and what its manifest is pushed as. */
export interface ImagePush {
  repository: string
  blobs: { bytes: Buffer; push: PushBlob }[]
  manifest: Buffer
  /** A tag of its own or its digest; afterwards it is pushed as the repository's `latest` too. */
  reference: string
}

/** Something that the registry answered 201 for: it owes these bytes from then on. */
export interface Stored {
  path: string
  digest: string
}

/** Which server a request goes to: asked anew for each, so that one push can go to several. */
export type NextServer = () => string

type PushBlob = (server: NextServer, repository: string, bytes: Buffer) => Promise<void>

const blobWays: readonly PushBlob[] = [pushByPut, pushByPatch, pushBySinglePost]

/** 200 pushes in 20 repositories; all differ, and the same `group` gives the same ones again. */
export function imagePushes(group: number): ImagePush[] {
  return Array.from({ length: 200 }, (_, number) => imagePush(group, number))
}

function imagePush(group: number, number: number): ImagePush {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', author: `${group}/${number}` }))
  const seed = group * 1000 + number
  const layer = seededBuffer(seed, Math.floor(2 ** (10 + (seed % 11))) + number)
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestType,
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)]
    })
  )
  return {
    repository: `group-${group}/image-${number % 20}`,
    blobs: [config, layer].map((bytes, index) => ({ bytes, push: blobWays[(number + index) % blobWays.length]! })),
    manifest,
    reference: number % 2 === 0 ? `tag-${number}` : digestOf(manifest)
  }
}

/** Pushes the image and tells of each part as soon as it is acknowledged. Throws at the first other answer. */
export async function pushImage(push: ImagePush, server: NextServer, stored: (part: Stored) => void): Promise<void> {
  const { repository, manifest } = push
  for (const blob of push.blobs) {
    await blob.push(server, repository, blob.bytes)
    const digest = digestOf(blob.bytes)
    stored({ path: `/v2/${repository}/blobs/${digest}`, digest })
  }
  const headers = { 'content-type': manifestType }
  const digest = digestOf(manifest)
  for (const reference of [push.reference, 'latest']) {
    await expect(201, `${server()}/v2/${repository}/manifests/${reference}`, { method: 'PUT', headers, body: manifest })
    stored({ path: `/v2/${repository}/manifests/${reference === 'latest' ? digest : reference}`, digest })
  }
}

/** All pushes at once. Throws the first failure, but only when every push has ended. */
export async function pushAll(pushes: readonly ImagePush[], server: NextServer, stored: (part: Stored) => void) {
  const outcomes = await Promise.allSettled(pushes.map(push => pushImage(push, server, stored)))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

/** Everything that a whole push leaves, whether it was acknowledged or not. */
export function partsOf({ repository, blobs, manifest, reference }: ImagePush): Stored[] {
  const digests = blobs.map(blob => digestOf(blob.bytes))
  return [
    ...digests.map(digest => ({ path: `/v2/${repository}/blobs/${digest}`, digest })),
    { path: `/v2/${repository}/manifests/${reference}`, digest: digestOf(manifest) }
  ]
}

/** Whether the part is there; throws when it is there and its bytes are not right. */
export async function isWhole(url: string, { path, digest }: Stored): Promise<boolean> {
  const answer = await send(`${url}${path}`)
  if (answer.status === 404) return false
  if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status}\n${answer.body}`)
  if (digestOf(answer.body) !== digest) throw new Error(`GET ${path}: ${answer.body.length} bytes that are not right`)
  return true
}

/** Throws unless every part is there, byte for byte. */
export async function allWhole(url: string, parts: readonly Stored[]): Promise<void> {
  const missing = (await Promise.all(parts.map(async part => ((await isWhole(url, part)) ? [] : [part.path])))).flat()
  if (missing.length > 0) throw new Error(`${missing.length} of ${parts.length} are missing, as ${missing[0]}`)
}

/** Throws unless the `latest` of every repository pushed to is one of the manifests pushed there. */
export async function latestIsOneOf(url: string, pushes: readonly ImagePush[]): Promise<void> {
  for (const repository of new Set(pushes.map(push => push.repository))) {
    const { body } = await expect(200, `${url}/v2/${repository}/manifests/latest`)
    const candidates = pushes.filter(push => push.repository === repository)
    if (!candidates.some(({ manifest }) => manifest.equals(body)))
      throw new Error(`${repository}:latest was never pushed`)
  }
}

const octets = { 'content-type': 'application/octet-stream' }

async function pushByPut(server: NextServer, repository: string, bytes: Buffer): Promise<void> {
  const begun = await expect(202, `${server()}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const closing = locationOf(begun, server(), { digest: digestOf(bytes) })
  await expect(201, closing, { method: 'PUT', headers: octets, body: bytes })
}

async function pushByPatch(server: NextServer, repository: string, bytes: Buffer): Promise<void> {
  const begun = await expect(202, `${server()}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const half = Math.floor(bytes.length / 2)
  const patched = await expect(202, locationOf(begun, server()), {
    method: 'PATCH',
    headers: octets,
    body: bytes.subarray(0, half)
  })
  const closing = locationOf(patched, server(), { digest: digestOf(bytes) })
  await expect(201, closing, { method: 'PUT', headers: octets, body: bytes.subarray(half) })
}

async function pushBySinglePost(server: NextServer, repository: string, bytes: Buffer): Promise<void> {
  const url = `${server()}/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes)}`
  await expect(201, url, { method: 'POST', headers: octets, body: bytes })
}
