import Fastify, { type FastifyInstance, type FastifySchema, type HTTPMethods } from 'fastify'
import fp from 'fastify-plugin'
import type { Rate } from '../src/config/values.ts'
import errors from './errors.ts'
import { answersOf } from './openapi-answers.ts'
import rateLimit from './rate-limit.ts'
import responseHeaders, { protectPage } from './response-headers.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The path to document, as the router sees only a wildcard: `/v2/{name}/blobs/{digest}`. */
    path?: string
    /** The spec's ids of the endpoint: `end-2`, or `end-8a, end-8b`. */
    id?: string
  }
}

export interface OpenapiOptions {
  title: string
  version: string
  /** Most requests from one address in a time. */
  perAddress?: Rate | undefined
}

interface Operation {
  method: HTTPMethods
  path: string
  schema: FastifySchema & { operationId?: string | undefined }
}

/**
 * Serves the API's description at `/openapi.json` and a page to read it at `/openapi`. It lists the routes registered
 * after it that have a `config.path`. Made when first asked for: what it needs would take 60 ms of every start.
 */
async function openapi(app: FastifyInstance, { perAddress, ...info }: OpenapiOptions): Promise<void> {
  const operations = new Map<string, Operation>()
  app.addHook('onRoute', ({ method, schema, config }) => {
    if (config?.path === undefined) return
    // An operation's id goes into names of generated code.
    const operationId = config.id?.replaceAll(', ', '_')
    for (const each of [method].flat()) {
      const operation = { method: each, path: config.path, schema: { ...schema, operationId } }
      operations.set(`${each} ${config.path}`, operation)
    }
  })

  let described: Promise<FastifyInstance> | undefined
  const description = () => (described ??= describe([...operations.values()], info))
  app.addHook('onClose', async () => {
    const pages = await described
    await pages?.close()
  })

  await app.register(async scope => {
    if (perAddress)
      await scope.register(rateLimit, { rate: perAddress, by: 'address', steady: () => performance.now() })
    scope.get('/openapi.json', async () => (await description()).swagger())
    for (const url of ['/openapi', '/openapi/*']) {
      scope.get(url, async (request, reply) => {
        const pages = await description()
        reply.hijack()
        pages.routing(request.raw, reply.raw)
      })
    }
  })
}

export default fp(openapi, { name: 'openapi', fastify: '5.x' })

/** An app of its own that never listens: the same operations under paths that can be written down, and the pages. */
async function describe(
  operations: readonly Operation[],
  info: Pick<OpenapiOptions, 'title' | 'version'>
): Promise<FastifyInstance> {
  const [{ default: swagger }, { default: swaggerUi }] = await Promise.all([
    import('@fastify/swagger'),
    import('@fastify/swagger-ui')
  ])
  const app = Fastify({ exposeHeadRoutes: false })
  await app.register(errors)
  await app.register(responseHeaders, {})
  app.addHook('onRequest', async (_request, reply) => protectPage(reply))
  await app.register(swagger, { openapi: { openapi: '3.1.0', info }, exposeHeadRoutes: true })
  await app.register(swaggerUi, { routePrefix: '/openapi' })
  for (const { method, path, schema } of operations) {
    const response = answersOf(String(method), path)
    const described = response ? { ...schema, response } : schema
    app.route({ method, url: path.replaceAll(/\{(\w+)\}/g, ':$1'), schema: described, handler: async () => undefined })
  }
  await app.ready()
  return app
}
