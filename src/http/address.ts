import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'

/** The address that a client is counted under: of IPv6 the network of 64 bits, as a client may have all of it. */
export const addressOf = (request: FastifyRequest): string => normalizeIP(request.ip ?? '')
