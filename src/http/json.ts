import type { FastifyReply } from 'fastify'

/**
 * The body for a value as JSON, whose answer gets this exact Content-Type: Fastify adds a charset to what it serialises
 * itself, and clients compare media types to the letter.
 */
export function jsonBody(reply: FastifyReply, value: unknown, mediaType = 'application/json'): Buffer {
  reply.type(mediaType)
  return Buffer.from(JSON.stringify(value))
}
