import assert from 'node:assert/strict'
import { digestOf } from '../reliability/bytes.ts'
import { type Answer, expect, send } from '../reliability/http.ts'
import { type Descriptor, everythingOf, parseManifest } from './images.ts'

const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json'
]

/** What the registry holds, seen without any client: it judges what the clients did. */
export interface Registry {
  /** A manifest as it is stored. Throws unless its bytes have the digest that the answer tells. */
  manifest(repository: string, reference: string): Promise<Descriptor & { bytes: Buffer }>
  /** A blob's bytes. Throws unless they have the digest asked for. */
  blob(repository: string, digest: string): Promise<Buffer>
  /**
   * The manifest and all that hangs on it, by digest: every blob, and for an index every image.
   * Throws when anything is missing or has other bytes than its digest says.
   */
  everything(repository: string, reference: string): Promise<Map<string, Buffer>>
  /** Throws unless the manifest is not there. */
  absent(repository: string, reference: string): Promise<void>
  tags(repository: string): Promise<string[]>
  referrers(repository: string, digest: string): Promise<Descriptor[]>
}

/** @param url the registry's root, as `http://127.0.0.1:5000` */
export function createRegistry(url: string): Registry {
  const address = (repository: string, rest: string) => `${url}/v2/${repository}/${rest}`
  const manifestRequest = { headers: { accept: manifestTypes.join(', ') } }

  const registry: Registry = {
    async manifest(repository, reference) {
      const answer = await expect(200, address(repository, `manifests/${reference}`), manifestRequest)
      const digest = digestOf(answer.body)
      assert.equal(header(answer, 'docker-content-digest'), digest)
      return { mediaType: header(answer, 'content-type'), digest, size: answer.body.length, bytes: answer.body }
    },
    async blob(repository, digest) {
      const { body } = await expect(200, address(repository, `blobs/${digest}`))
      assert.equal(digestOf(body), digest)
      return body
    },
    async everything(repository, reference) {
      const { digest } = await registry.manifest(repository, reference)
      return await everythingOf(digest, {
        manifest: async child => (await registry.manifest(repository, child)).bytes,
        blob: child => registry.blob(repository, child)
      })
    },
    async absent(repository, reference) {
      const { status } = await send(address(repository, `manifests/${reference}`), manifestRequest)
      assert.equal(status, 404)
    },
    async tags(repository) {
      const { body } = await expect(200, address(repository, 'tags/list'))
      return (JSON.parse(body.toString()) as { tags: string[] }).tags
    },
    async referrers(repository, digest) {
      const { body } = await expect(200, address(repository, `referrers/${digest}`))
      return parseManifest(body).manifests ?? []
    }
  }
  return registry
}

function header({ headers }: Answer, name: string): string {
  const value = headers[name]
  assert.ok(typeof value === 'string', `the answer has no ${name}`)
  return value
}
