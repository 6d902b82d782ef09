import type { FastifyRequest } from 'fastify'

/**
 * The path prefix that a trusted proxy took off the request's URL. Fastify lists more addresses than the connection's
 * own only where it trusts whom the connection is from.
 */
export function forwardedPrefix(request: FastifyRequest): string | undefined {
  const prefix = request.headers['x-forwarded-prefix']
  return typeof prefix === 'string' && (request.ips?.length ?? 0) > 1 ? prefix : undefined
}
