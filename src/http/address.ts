import { normalizeIP } from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import { LRUCache } from 'lru-cache'

/** To read an IPv6 address takes as long as half of a small answer, and IPv4 comes as one where `HOST` is `::`. */
const known = new LRUCache<string, string>({ max: 1000 })

/** The address that a client is counted under: of IPv6 the network of 64 bits, as a client may have all of it. */
export function addressOf({ ip = '' }: FastifyRequest): string {
  let address = known.get(ip)
  if (address === undefined) {
    address = normalizeIP(ip)
    known.set(ip, address)
  }
  return address
}
