import type { FastifyInstance, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

export interface ResponseHeadersOptions {
  /** Whether answers are those of the API. Default: of pages beside it. */
  api?: boolean
}

/**
 * Headers of every answer, refusals too. Registered before whatever may refuse. Content is what somebody pushed, so no
 * browser may guess what it is.
 */
async function responseHeaders(app: FastifyInstance, { api = false }: ResponseHeadersOptions): Promise<void> {
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('x-content-type-options', 'nosniff')
    // Docker asks for it, on a 401 too: without it, some versions take the registry for one of version 1.
    if (api) reply.header('docker-distribution-api-version', 'registry/2.0')
    done()
  })
}

export default fp(responseHeaders, { name: 'response-headers', fastify: '5.x' })

const PAGE = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join('; ')

/** For a page that loads nothing but its own files, and that no other page may show in a frame. */
export function protectPage(reply: FastifyReply): void {
  reply.headers({ 'content-security-policy': PAGE, 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' })
}
