import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { RequestMetrics } from '../src/metrics/requests.ts'

/** Other methods than these are counted as one, since a client may make them up. */
const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS'])

/** The status of a request whose client went away before its answer was sent, as nginx has it. */
const GONE = '499'

/** Counts requests from when their head has come until they are over, be that by an answer or by a broken connection. */
async function requestMetrics(app: FastifyInstance, { requests }: { requests: RequestMetrics }): Promise<void> {
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    const { raw } = reply
    const ended = requests.begin(routeOf(request), methodOf(request), request.raw.socket)
    raw.once('close', () => ended(raw.writableEnded ? String(raw.statusCode) : GONE))
    done()
  })
}

export default fp(requestMetrics, { name: 'request-metrics', fastify: '5.x' })

function routeOf({ is404, routeOptions: { config } }: FastifyRequest): string {
  if (is404) return 'unknown'
  return config.oci?.endpoint ?? nameOf(config.path)
}

/** `base` for `/v2/`, `catalog` for `/v2/_catalog`. */
function nameOf(path: string | undefined): string {
  if (path === undefined) return 'unknown'
  return /[a-z]+$/.exec(path)?.[0] ?? 'base'
}

const methodOf = ({ method }: FastifyRequest): string => (METHODS.has(method) ? method : 'other')
