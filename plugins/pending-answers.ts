import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

export interface PendingAnswersOptions {
  /** Most bytes that answers may hold which their clients have not taken yet. */
  most: number
}

/** A smaller answer, in bytes, is not counted: the system's own buffers hold it. */
const COUNTED = 16 * 1024

/** How often the log says that answers were cut off, in ms. */
const SAID_EVERY = 60_000

/**
 * Bounds the memory that clients take up who ask for long answers, such as a manifest or a page of referrers of 4 MiB, and
 * do not read them. Where more is pending, the answers that have been waiting longest are cut off. Blobs are not counted,
 * since they are sent piece by piece.
 */
async function pendingAnswers(app: FastifyInstance, { most }: PendingAnswersOptions): Promise<void> {
  /** The bytes of each answer, that of the longest wait first. */
  const pending = new Map<FastifyRequest, number>()
  let sum = 0
  let saidAt = Number.NEGATIVE_INFINITY

  function forget(request: FastifyRequest): void {
    sum -= pending.get(request) ?? 0
    pending.delete(request)
  }

  function cutOff(request: FastifyRequest): void {
    forget(request)
    request.raw.socket.destroy?.() // `inject()` has no socket
    if (performance.now() - saidAt < SAID_EVERY) return
    saidAt = performance.now()
    app.log.warn(
      { bytes: most },
      'clients ask for long answers and do not read them: those that have waited longest are cut off (BUFFER_MEMORY)'
    )
  }

  app.addHook('onSend', (request, reply, payload, done) => {
    const bytes = Buffer.isBuffer(payload) || typeof payload === 'string' ? payload.length : 0
    if (bytes < COUNTED) return done()
    for (const oldest of pending.keys()) {
      if (sum + bytes <= most) break
      cutOff(oldest)
    }
    pending.set(request, bytes)
    sum += bytes
    reply.raw.once('close', () => forget(request))
    done()
  })
}

export default fp(pendingAnswers, { name: 'pending-answers', fastify: '5.x' })
