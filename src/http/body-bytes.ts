import type { IncomingMessage, ServerResponse } from 'node:http'

/** How much of a body has passed so far. */
export interface ByteCount {
  bytes: number
}

const counts = new WeakMap<IncomingMessage | ServerResponse, ByteCount>()

/** Whoever reads or writes the body of `message` in pieces adds them up here, for the log. */
export function countBytes(message: IncomingMessage | ServerResponse): ByteCount {
  const count = { bytes: 0 }
  counts.set(message, count)
  return count
}

/** Bytes of a request's body that were read, or thrown away unread; its head does not count. */
export function bytesReceived(request: IncomingMessage): number {
  const counted = counts.get(request)
  if (counted !== undefined) return counted.bytes
  return request.complete ? Number(request.headers['content-length'] ?? 0) : 0
}

/**
 * Bytes of an answer's body that were written; its head does not count.
 *
 * @param length the Content-Length that the reply has: Fastify keeps it from `response`
 */
export function bytesSent(response: ServerResponse, length = response.getHeader('content-length')): number {
  const counted = counts.get(response)
  if (counted !== undefined) return counted.bytes
  const { req, statusCode } = response
  if (!response.headersSent || req.method === 'HEAD' || statusCode === 304 || statusCode === 204) return 0
  return Number(length ?? 0)
}
