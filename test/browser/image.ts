import { digestOf } from '../reliability/bytes.ts'
import { expect, send } from '../reliability/http.ts'
import { basic, passwordOf } from '../support/callers.ts'

export const REPOSITORY = 'images'
const login = basic('alice', passwordOf('alice'))
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

/** Pushes an image that differs from that of any other tag, with a password, which every registry here accepts. */
export async function pushImage(url: string, tag: string): Promise<void> {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', author: tag, history: [] }))
  const layer = Buffer.from(`layer of ${tag}`)
  for (const body of [config, layer]) {
    const headers = { ...login, 'content-type': 'application/octet-stream' }
    const target = `${url}/v2/${REPOSITORY}/blobs/uploads/?digest=${digestOf(body)}`
    await expect(201, target, { method: 'POST', headers, body })
  }
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)]
  }
  await expect(201, `${url}/v2/${REPOSITORY}/manifests/${tag}`, {
    method: 'PUT',
    headers: { ...login, 'content-type': MANIFEST_TYPE },
    body: Buffer.from(JSON.stringify(manifest))
  })
}

/** What the registry answers to who asks for the tag. */
export async function statusOf(url: string, tag: string): Promise<number> {
  return (await send(`${url}/v2/${REPOSITORY}/manifests/${tag}`, { headers: login })).status
}
