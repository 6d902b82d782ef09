import { createRequire } from 'node:module'
import type { FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'

/** To read an IPv6 address takes as long as half of a small answer, and IPv4 comes as one where `HOST` is `::`. */
const known = new LRUCache<string, string>({ max: 1000 })

/** Loaded when an address is asked for, and at once, since guesses at the same time must be counted: it takes 10 ms. */
const loadRateLimit = () =>
  createRequire(import.meta.url)('@fastify/rate-limit') as typeof import('@fastify/rate-limit')

/** The address that a client is counted under: of IPv6 the network of 64 bits, as a client may have all of it. */
export function addressOf({ ip = '' }: FastifyRequest): string {
  let address = known.get(ip)
  if (address === undefined) {
    address = loadRateLimit().normalizeIP(ip)
    known.set(ip, address)
  }
  return address
}
