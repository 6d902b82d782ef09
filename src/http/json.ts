import type { FastifyReply } from 'fastify'

/**
 * Sends a value as JSON with this exact Content-Type: Fastify adds a charset to what it serialises itself, and clients
 * compare media types to the letter.
 */
export function sendJson(reply: FastifyReply, value: unknown, mediaType = 'application/json'): FastifyReply {
  return reply.type(mediaType).send(Buffer.from(JSON.stringify(value)))
}
