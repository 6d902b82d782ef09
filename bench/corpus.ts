import { digestOf } from '../test/reliability/bytes.ts'
import { expect, locationOf } from '../test/reliability/http.ts'
import { type ImageManifest, imageOf, imageType } from './content.ts'
import type { Server } from './server.ts'

export interface PushedImage {
  manifest: ImageManifest
  /** As it was pushed. */
  bytes: Buffer
  digest: string
}

/** A connection kept from earlier may be one that the server is closing just now. */
export const close = { connection: 'close' }

/** Pushes an image through the API; what is there already is pushed again. */
export async function pushImage(
  { url, peer }: Server,
  repository: string,
  tag: string,
  config: Buffer,
  layers: Buffer[]
): Promise<PushedImage> {
  const common = { ...close, ...(peer.authorization && { authorization: peer.authorization }) }
  for (const blob of [config, ...layers]) {
    const begun = await expect(202, `${url}/v2/${repository}/blobs/uploads/`, { method: 'POST', headers: common })
    const headers = { ...common, 'content-type': 'application/octet-stream', 'content-length': blob.length }
    await expect(201, locationOf(begun, url, { digest: digestOf(blob) }), { method: 'PUT', headers, body: blob })
  }
  const manifest = imageOf(config, layers)
  const body = Buffer.from(JSON.stringify(manifest))
  const headers = { ...common, 'content-type': imageType }
  await expect(201, `${url}/v2/${repository}/manifests/${tag}`, { method: 'PUT', headers, body })
  return { manifest, bytes: body, digest: digestOf(body) }
}

/** The list that a GET answers with, under this name. */
export async function listOf({ url }: Server, path: string, name: 'tags' | 'manifests'): Promise<unknown[]> {
  const { body } = await expect(200, `${url}${path}`, { headers: close })
  const list: unknown = (JSON.parse(body.toString()) as Record<string, unknown>)[name]
  if (!Array.isArray(list)) throw new Error(`${path} answers with no list of ${name}`)
  return list
}
