import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Rate } from '../src/config/values.ts'
import { addressOf } from '../src/http/address.ts'
import { rateStoreOf } from '../src/http/rate-store.ts'
import { RegistryError } from '../src/registry/errors.ts'

export interface RateLimitOptions {
  rate: Rate
  /** `user` counts those alone who have logged in; register it after access control, and `address` before. */
  by: 'address' | 'user'
  /** A monotonic clock, in ms. */
  steady: () => number
}

/** Loaded where there is a limit. It stands out here for the same reason as `loadS3` does. */
const loadRateLimit = async () => (await import('@fastify/rate-limit')).default

/** Refuses requests beyond a number in a time, before their bodies. Each process counts those that it gets, of the 5,000
 * clients that were here last. */
async function rateLimit(app: FastifyInstance, { rate, by, steady }: RateLimitOptions): Promise<void> {
  if (!app.hasDecorator('createRateLimit')) {
    await app.register(await loadRateLimit(), { global: false, store: rateStoreOf(steady) })
  }
  const count = app.createRateLimit({
    max: rate.requests,
    timeWindow: rate.perMs,
    keyGenerator: (request: FastifyRequest) => (by === 'address' ? addressOf(request) : request.caller!.user!)
  })
  app.addHook('onRequest', async request => {
    if (by === 'user' && request.caller?.user === undefined) return
    const state = await count(request)
    if (state.isAllowed || !state.isExceeded) return
    const retryAfter = Math.max(state.ttlInSeconds, 1)
    throw new RegistryError('too-many-requests', { retryAfter }, { message: `too many requests of one ${by}` })
  })
}

export default fp(rateLimit, { name: 'rate-limit', fastify: '5.x' })
