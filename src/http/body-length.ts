import type { FastifyRequest } from 'fastify'

/** The body's length in bytes as the request tells it; undefined where it comes in chunks (RFC 9112 section 6.3). */
export function bodyLength({ headers }: FastifyRequest): number | undefined {
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : undefined
}
