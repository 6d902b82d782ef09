import { type Static, Type } from '@sinclair/typebox'
import type { RepositoryAction } from '../src/access/caller.ts'
import type { Endpoint } from '../src/http/endpoints.ts'
import type { Links } from '../src/http/links.ts'

/** What all route groups need to know. */
export interface RouteOptions {
  links: Links
  deleteEnabled: boolean
  readOnly: boolean
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
 * a wildcard and the constraint tells the endpoint (plugins/oci-routing.ts). `id` is the spec's `end-N`, `action` what the
 * caller must be allowed to do in the repository (plugins/access.ts).
 */
export function endpoint(name: Endpoint, id: string, action: RepositoryAction) {
  return {
    url: '/*',
    // Where reading what GET sends would cost more than telling its size, a route of its own for HEAD comes before GET.
    exposeHeadRoute: true,
    constraints: { ociEndpoint: name },
    config: { path: PATHS[name], id, action }
  } as const
}

export const Name = Type.String({ description: 'Repository, as `library/alpine`', examples: ['library/alpine'] })
export const DigestParam = Type.String({ description: '`sha256:` and 64 hex digits, or `sha512:` and 128' })
/** Which entries of a list are wanted. */
export const PageQuery = Type.Object({
  // Digits and not an integer: what Fastify turns into one includes ` `, `1e1` and `0x1`.
  n: Type.Optional(Type.String({ pattern: '^[0-9]+$', description: 'Most entries wanted' })),
  last: Type.Optional(Type.String({ description: 'Entries after this one' }))
})

/** How many entries a page has at most: as many as asked for, up to `most`. */
export function pageSize({ n }: Static<typeof PageQuery>, most: number): number {
  return n === undefined ? most : Math.min(Number(n), most)
}
