import { Type } from '@sinclair/typebox'
import type { Endpoint } from '../src/http/endpoints.ts'
import type { Links } from '../src/http/links.ts'

/** What all route groups need to know. */
export interface RouteOptions {
  links: Links
  deleteEnabled: boolean
  manifestMaxBytes: number
  tagsPageMax: number
}

const PATHS: Record<Endpoint, string> = {
  blob: '/v2/{name}/blobs/{digest}',
  uploads: '/v2/{name}/blobs/uploads/',
  upload: '/v2/{name}/blobs/uploads/{session}',
  manifest: '/v2/{name}/manifests/{reference}',
  tags: '/v2/{name}/tags/list',
  referrers: '/v2/{name}/referrers/{digest}'
}

/**
 * What makes a route one of the spec's endpoints: a repository's name may have any number of components, so the URL is
 * a wildcard and the constraint tells the endpoint (plugins/oci-routing.ts). `id` is the spec's `end-N`.
 */
export function endpoint(name: Endpoint, id: string) {
  return {
    url: '/*',
    // A HEAD that Fastify derives from a GET would read the whole body.
    exposeHeadRoute: false,
    constraints: { ociEndpoint: name },
    config: { path: PATHS[name], id }
  } as const
}

export const Name = Type.String({ description: 'Repository, as `library/alpine`' })
export const DigestParam = Type.String({ description: '`sha256:` and 64 hex digits, or `sha512:` and 128' })
/** How many entries a page may have; more than the registry gives at once is clamped. */
export const PageQuery = Type.Object({
  n: Type.Optional(Type.Integer({ minimum: 0, description: 'Most entries wanted' })),
  last: Type.Optional(Type.String({ description: 'Entries after this one' }))
})
