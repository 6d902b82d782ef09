import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { LRUCache } from 'lru-cache'
import { acceptPredicate } from '../src/http/accept.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether the client's `Accept` takes this media type. */
    acceptsManifest(mediaType: string): boolean
  }
}

/** Clients are few and each sends the same header always. */
const HEADERS_REMEMBERED = 100

/** Tells handlers which manifests a client takes, and caches that a manifest's answer depends on it (RFC 9110 section 12.5.5). */
async function contentNegotiation(app: FastifyInstance): Promise<void> {
  const predicates = new LRUCache<string, (mediaType: string) => boolean>({
    max: HEADERS_REMEMBERED,
    memoMethod: acceptPredicate
  })
  app.decorateRequest('acceptsManifest', function (this: FastifyRequest, mediaType: string) {
    return predicates.memo(this.headers.accept ?? '')(mediaType)
  })
  app.addHook('onRoute', route => {
    if (route.constraints?.ociEndpoint === 'manifest' && reads(route)) {
      route.onRequest = [varyByAccept, ...[route.onRequest ?? []].flat()]
    }
  })
}

export default fp(contentNegotiation, { name: 'content-negotiation', dependencies: ['oci-routing'], fastify: '5.x' })

function reads(route: RouteOptions): boolean {
  return [route.method].flat().every(method => method === 'GET' || method === 'HEAD')
}

function varyByAccept(_request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const vary = reply.getHeader('vary')
  reply.header('vary', vary === undefined ? 'Accept' : `${vary}, Accept`)
  done()
}
