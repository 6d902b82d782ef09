import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type RegistryEvent, registryEventOf } from '../src/http/events.ts'

/** Hears of what has happened. Nobody waits for it, and what it throws is logged. */
export type OnEvent = (event: RegistryEvent, request: FastifyRequest) => void | Promise<void>

/**
 * Tells the embedder of pushes, pulls and deletions once they are answered: a push or a deletion that is done also where
 * its client has gone by then, a pull only where the client has taken all of it. Register it before the routes.
 */
export default fp<{ onEvent: OnEvent }>(
  async (app: FastifyInstance, { onEvent }) => {
    const tell = async (event: RegistryEvent, request: FastifyRequest): Promise<void> => {
      try {
        await onEvent(event, request)
      } catch (error) {
        request.log.error({ err: error, event: event.event }, 'what hears of events has failed')
      }
    }
    app.addHook('onRoute', route => {
      const { handler, config, method } = route
      if (config?.oci === undefined || method === 'HEAD') return
      // By the handler and not by a hook: at the end of a connection hooks may run before the handler is done.
      route.handler = async function (this: FastifyInstance, request, reply) {
        const answered = endOf(reply)
        const payload: unknown = await handler.call(this, request, reply)
        const event = registryEventOf(request, reply)
        if (event) {
          void answered.then(async taken => {
            if (taken || !isPull(event)) await tell(event, request)
          })
        }
        return payload
      }
    })
  },
  { name: 'events', dependencies: ['oci-routing', 'access'], fastify: '5.x' }
)

const isPull = ({ event }: RegistryEvent): boolean => event.endsWith('.pull')

/** Resolves when the answer has ended: whether all of it was handed to the connection before that broke. */
function endOf({ raw }: FastifyReply): Promise<boolean> {
  return new Promise(resolve => {
    raw.once('finish', () => resolve(true)).once('close', () => resolve(false))
  })
}
